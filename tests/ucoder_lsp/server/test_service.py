"""The service at its start: which model it serves, and what it says about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.ucoder_lsp.models.machine import Machine
from ucoder_lsp.config import Settings
from ucoder_lsp.server.service import ServerStatus, Service


@pytest.fixture
def machine(tmp_path: Path, tiny_model: Path) -> Machine:
    return Machine(tmp_path / "machine", tiny_model)


async def started(settings: Settings) -> ServerStatus:
    """Return the status of a service after its preparation."""
    service = Service(replace(settings, execution=False, context_tokens=256, threads=1), lambda _: None)
    await service.prepare()
    await service.close()
    return service.status


async def test_the_chosen_model_is_served_with_the_reason(machine: Machine) -> None:
    machine.measured(machine.install("small", 10**9), 1.0, chosen="q8_0", n_threads=1)
    machine.measured(machine.install("large", 2 * 10**9), 4.1, n_threads=1)
    status = await started(machine.settings)
    assert (status.state, status.model) == ("ready", "tiny llama")
    assert "small is the largest model that answers in time here (1.0 s for a line)" in status.message
    assert "large would need 4.1 s for a line here, more than 3 s." in status.message
    (made,) = (machine.settings.cache_dir / "models").glob("*.gguf")
    assert made.stem.endswith("-q8_0"), "in the kind of the record"


async def test_a_model_that_does_not_load_is_replaced_by_the_next_one_in_words(machine: Machine) -> None:
    machine.measured(machine.install("small", 10**9), 1.0, n_threads=1)
    large = machine.install("large", 2 * 10**9, content=lambda whole: whole[:30_000])
    machine.measured(large, 1.0, n_threads=1)
    status = await started(machine.settings)
    assert (status.state, status.model) == ("ready", "tiny llama")
    assert "large could not be loaded: llama.cpp cannot load" in status.message
    assert "small is served instead." in status.message


async def test_a_model_without_a_record_is_measured_at_the_start(machine: Machine) -> None:
    large = machine.install("large", 10**9)
    status = await started(machine.settings)
    assert status.model == "tiny llama"
    assert "`ucoder models measure large` looks for the kind of it that is fastest here." in status.message
    record = machine.record(large, n_threads=1)
    assert record is not None
    assert not record.complete


async def test_a_named_model_that_does_not_load_is_an_error_with_the_remedy(machine: Machine) -> None:
    machine.install("large", 10**9, content=lambda whole: whole[:30_000])
    status = await started(replace(machine.settings, model="large"))
    assert status.state == "error"
    assert "use a complete GGUF file" in status.message
    status = await started(replace(machine.settings, model="larg"))
    assert status.message.startswith("There is no model called 'larg': did you mean large?")
