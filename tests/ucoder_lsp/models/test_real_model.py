"""Qwen2.5-Coder-0.5B, measured and served; skipped where it cannot be had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ucoder_lsp.config import Settings
from ucoder_lsp.models.served import find_model, served_models
from ucoder_lsp.models.trial import WORST_PERPLEXITY, measure
from ucoder_lsp.server.service import Service

# The download counts too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NAME = "qwen2.5-coder-0.5b"


@pytest.fixture(scope="module")
def settings(models_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of a machine with this model, measured."""
    settings = Settings(data_dir=models_here, cache_dir=tmp_path_factory.mktemp("cache"), deadline_ms=60_000)
    measure(find_model(NAME, settings).path, settings.cache_dir)
    return settings


def test_every_kind_runs_and_the_chosen_one_keeps_the_quality(settings: Settings) -> None:
    record = find_model(NAME, settings).measurement(settings)
    assert record is not None
    assert record.best is not None
    assert (record.complete, len(record.kinds)) == (True, 4)
    perplexities = {each.kind: each.trial.perplexity or 0.0 for each in record.kinds}
    assert all(1 < value < 8 for value in perplexities.values()), perplexities
    assert perplexities[record.chosen] <= WORST_PERPLEXITY * perplexities["as-is"]


def test_auto_decides_by_the_record_and_says_so(settings: Settings) -> None:
    found = served_models(settings)
    assert {model.name for model in found.models} == {NAME, "smollm2-135m"}
    assert NAME in found.reason


async def test_the_measured_model_fills_in_the_middle(settings: Settings) -> None:
    service = Service(replace(settings, model=NAME, execution=False, temperature=0.0), lambda _: None)
    await service.prepare()
    assert service.status.state == "ready", service.status.message
    above = "class Account:\n    def withdraw(self, amount: int) -> None:\n        if "
    below = ':\n            raise ValueError("not enough money")\n        self.balance -= amount\n'
    explanation = await service.complete(above + below, 2, len("        if "))
    await service.close()
    assert explanation is not None
    assert "self.balance" in explanation.text
    assert "amount" in explanation.text
