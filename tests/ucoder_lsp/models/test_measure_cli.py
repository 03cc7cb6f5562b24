"""The command `ucoder models measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.tiny_gguf import write_model
from tests.ucoder_lsp.models import measured
from tests.ucoder_lsp.models.machine import Machine
from ucoder_lsp.engine.trial import Trial
from ucoder_lsp.models.cli import models


@pytest.fixture
def machine(tmp_path: Path, tiny_model: Path) -> Machine:
    return Machine(tmp_path / "machine", tiny_model)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the trial by made-up speeds; return the names of the files that were tried."""
    tried: list[str] = []

    def run_trial(path: Path, text: Path, **_: Any) -> Trial:
        tried.append(path.stem)
        return measured.trial(0.5 if path.stem.endswith("q8_0") else 1.0)

    monkeypatch.setattr("ucoder_lsp.models.trial.run_trial", run_trial)
    return tried


def call(machine: Machine, *arguments: str) -> Result:
    folders = ["--data-dir", str(machine.settings.data_dir), "--cache-dir", str(machine.settings.cache_dir)]
    return CliRunner().invoke(models, [*folders, "measure", *arguments])


def test_the_table_shows_every_kind_and_the_chosen_one(machine: Machine, runs: list[str]) -> None:
    machine.install("large", 10**9)
    result = call(machine, "large")
    assert result.exit_code == 0, result.output
    rows = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if "│" in line}
    assert list(rows) == ["as-is", "iq4_nl", "q4_0", "→ q8_0"]
    assert [cell.strip() for cell in rows["→ q8_0"].split("│")[7:9]] == ["1.000", "0.50"]
    assert len(runs) == 4


def test_a_model_is_measured_once_unless_again_is_given(machine: Machine, runs: list[str]) -> None:
    machine.install("large", 10**9)
    first = call(machine, "large").stdout
    assert call(machine, "large").stdout == first
    assert len(runs) == 4
    call(machine, "large", "--again")
    assert len(runs) == 8


def test_an_incomplete_record_is_completed(machine: Machine, runs: list[str]) -> None:
    large = machine.install("large", 10**9)
    machine.measured(large, 1.0, complete=False)
    assert call(machine, "large").exit_code == 0
    assert len(runs) == 4


def test_a_file_of_the_user_can_be_measured(machine: Machine, runs: list[str], tiny_qwen: Path) -> None:
    assert "qwen2.gguf on this CPU" in call(machine, str(tiny_qwen)).output
    assert runs[0] == "qwen2"


def test_a_model_that_does_not_run_is_one_sentence(machine: Machine, tmp_path: Path) -> None:
    result = call(machine, str(write_model(tmp_path / "strange.gguf", architecture="nosuch")))
    assert result.exit_code == 1
    assert "unknown model architecture: 'nosuch'" in result.output
    assert result.stdout.count("\n") == 1


def test_an_unknown_name_is_one_sentence(machine: Machine) -> None:
    machine.install("large", 10**9)
    result = call(machine, "larg")
    assert result.exit_code == 1
    assert "did you mean large?" in result.output


def test_a_model_is_measured_when_it_is_chosen_or_fetched(machine: Machine, runs: list[str]) -> None:
    large = machine.install("large", 10**9)
    folders = ["--data-dir", str(machine.settings.data_dir), "--cache-dir", str(machine.settings.cache_dir)]
    chosen = CliRunner().invoke(models, [*folders, "use", "large"])
    assert "→ q8_0" in chosen.stdout
    assert len(runs) == 4
    fetched = CliRunner().invoke(models, [*folders, "get", "large", "--from", str(large)])
    assert "→ q8_0" in fetched.stdout
    assert len(runs) == 4, "once"
