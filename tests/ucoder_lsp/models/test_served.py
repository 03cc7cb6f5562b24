"""The models that the setting `model` means, on a machine with made-up ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.ucoder_lsp.models import measured
from tests.ucoder_lsp.models.machine import Machine
from ucoder_lsp.config import Settings
from ucoder_lsp.files import file_sha256
from ucoder_lsp.models import served
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.measurements import Measurement
from ucoder_lsp.models.served import find_model, model_path, models_here, served_models
from ucoder_lsp.models.store import record_verified


@pytest.fixture
def machine(tmp_path: Path, tiny_model: Path) -> Machine:
    return Machine(tmp_path / "machine", tiny_model)


def test_the_carried_model_is_served_where_there_is_no_other(machine: Machine) -> None:
    found = served_models(machine.settings)
    assert [model.path for model in found.models] == [None]
    assert found.reason == (
        "smollm2-135m is the only model here. `ucoder models get qwen2.5-coder-0.5b` gets a better one."
    )
    assert found.models[0].kind(machine.settings) == "auto"


def test_the_largest_model_in_time_is_served_and_the_next_ones_follow(machine: Machine) -> None:
    medium, large = machine.install("medium", 10**9), machine.install("large", 2 * 10**9)
    machine.measured(medium, 1.0, chosen="q8_0")
    machine.measured(large, 4.1)
    found = served_models(machine.settings)
    assert [model.name for model in found.models] == ["medium", "smollm2-135m", "large"]
    assert found.reason == (
        "medium is the largest model that answers in time here (1.0 s for a line). "
        "large would need 4.1 s for a line here, more than 3 s."
    )
    assert found.models[0].kind(machine.settings) == "q8_0"
    machine.measured(large, 2.9)
    assert machine.order() == ["large", "medium", "smollm2-135m"]


def test_more_candidates_need_more_time(machine: Machine) -> None:
    large = machine.install("large", 10**9)
    kind = measured.MeasuredKind("as-is", 1, measured.Trial(False, 128.0, 60.0, 170.0, 4.0))
    machine.keep(Measurement(file_sha256(large), "as-is", (kind,), True))
    assert machine.order()[0] == "large"
    machine.settings = Settings(
        data_dir=machine.settings.data_dir, cache_dir=machine.settings.cache_dir, candidates=32
    )
    assert machine.order()[0] == "smollm2-135m"


def test_models_are_measured_from_the_largest_on_until_one_is_in_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("small", 10**9), ("medium", 2 * 10**9), ("large", 3 * 10**9)):
        machine.install(name, size)
    seconds = {"large": 9.0, "medium": 2.0}
    asked = []

    def quickly(path: Path, cache: Path, *, name: str, **_: object) -> Measurement:
        asked.append(name)
        record = measured.record(file_sha256(path), seconds[name], complete=False)
        machine.keep(record)
        return record

    monkeypatch.setattr(served, "measure_quickly", quickly)
    assert machine.order()[:3] == ["large", "medium", "small"], "nothing is known yet"
    assert asked == [], "`ucoder settings` measures nothing"
    first = served_models(machine.settings)
    assert first.models[0].name == "medium"
    assert "`ucoder models measure medium` looks for the kind of it that is fastest here." in first.reason
    assert asked == ["large", "medium"]
    assert served_models(machine.settings) == first
    assert asked == ["large", "medium"], "each model is measured once"


def test_a_damaged_record_is_measured_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    large = machine.install("large", 10**9)
    machine.measured(large, 1.0)
    (path,) = (machine.settings.cache_dir / "measurements").iterdir()
    path.write_text(path.read_text()[:50])
    slow = measured.record(file_sha256(large), 9.0)
    monkeypatch.setattr(served, "measure_quickly", lambda *_, **__: slow)
    assert served_models(machine.settings).models[0].name == "smollm2-135m"


def test_a_model_that_does_not_run_here_is_passed_over_in_words(machine: Machine) -> None:
    large = machine.install("large", 10**9)
    machine.keep(Measurement(file_sha256(large), "", (), True, ("It was ended by SIGKILL.",)))
    found = served_models(machine.settings)
    assert [model.name for model in found.models] == ["smollm2-135m"]
    assert (
        "large does not run here: It was ended by SIGKILL. Try again with `ucoder models measure large`."
        in found.reason
    )


def test_a_file_that_is_damaged_is_passed_over_in_words(machine: Machine) -> None:
    large = machine.install("large", 10**9)
    large.write_bytes(b"html" + large.read_bytes()[4:])
    record_verified(large, file_sha256(large), "a test")  # of another content than the catalogue's
    assert machine.order() == ["smollm2-135m"]


def test_the_setting_may_be_a_name_or_a_file(machine: Machine, tiny_model: Path, tmp_path: Path) -> None:
    large = machine.install("large", 10**9)
    assert find_model("large", machine.settings).path == large
    assert find_model("embedded", machine.settings).path is None
    assert find_model("smollm2-135m", machine.settings).path is None
    own = shutil.copy(tiny_model, tmp_path / "own.gguf")
    model = find_model(str(own), machine.settings)
    assert (model.name, model.path, model.argument) == ("own.gguf", own, str(own))
    settings = Settings(
        model=str(own), data_dir=machine.settings.data_dir, cache_dir=machine.settings.cache_dir
    )
    found = served_models(settings)
    assert found.models == (model,)
    assert f"`ucoder models measure {own}`" in found.reason
    assert model_path(settings) == own


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("larg", "There is no model called 'larg': did you mean large"),
        ("gpt-5", r"There is no model called 'gpt-5': `ucoder models list` shows all\."),
        ("absent", r"absent is not on this machine: run `ucoder models get absent`"),
        ("no/such.gguf", "There is no model file at"),
    ],
)
def test_a_name_that_is_not_here_is_one_sentence(machine: Machine, named: str, message: str) -> None:
    machine.install("large", 10**9)
    machine.install("absent", 10**9, here=False)
    with pytest.raises(ModelError, match=message):
        find_model(named, machine.settings)


def test_a_user_entry_without_a_size_is_ordered_by_its_file(machine: Machine) -> None:
    machine.install("unsaid", 0)
    assert [*models_here(machine.settings)] == ["smollm2-135m", "unsaid"]
