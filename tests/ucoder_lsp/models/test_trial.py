"""The choice of the served kind: by measurement, on real requantized files."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_gguf import write_model
from tests.ucoder_lsp.models import measured
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.engine.trial import Trial
from ucoder_lsp.models.measurements import Measurement, read_measurement
from ucoder_lsp.models.prepare import PreparedModel, prepare_model
from ucoder_lsp.models.trial import (
    TEXT,
    VARIANTS,
    WORST_PERPLEXITY,
    fastest,
    measure,
    measure_quickly,
)

KINDS = ("as-is", *VARIANTS)


def trials(**known: Trial | str) -> Callable[[PreparedModel], Trial]:
    """Return a measurement by kind; a text is the error of that kind."""

    def trial(prepared: PreparedModel) -> Trial:
        assert prepared.path.is_file()
        found = known.get(prepared.kind.replace("-", "_"), measured.trial(2.0))
        if isinstance(found, str):
            raise EngineError(found)
        return found

    return trial


def files(cache: Path) -> list[str]:
    """Return the kinds of the requantized files that are left."""
    return sorted(path.stem.rpartition("-")[2] for path in (cache / "models").glob("*"))


@pytest.fixture(scope="module")
def real(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Path]:
    """A real measurement of the tiny model, and its cache."""
    cache = tmp_path_factory.mktemp("cache")
    return measure(tiny_model, cache, n_threads=1), cache


def test_every_kind_is_measured_and_only_the_chosen_file_stays(
    real: tuple[Measurement, Path], tiny_model: Path
) -> None:
    record, cache = real
    assert [each.kind for each in record.kinds] == list(KINDS)
    assert record.complete
    assert record.remarks == ()
    assert all(each.trial.perplexity for each in record.kinds)
    assert files(cache) == ([] if record.chosen == "as-is" else [record.chosen] * 2)
    assert read_measurement(record.source_sha256, cache, 1) == record
    assert prepare_model(tiny_model, cache, quantization=record.chosen).path.is_file()


def test_the_text_is_enough_for_a_perplexity() -> None:
    text = TEXT.read_text("utf-8")
    assert len(text) > 4000
    compile(text, "perplexity.txt", "exec")


kinds = st.lists(
    st.tuples(st.floats(0.01, 9), st.none() | st.floats(1, 50)), min_size=len(KINDS), max_size=len(KINDS)
)


@given(kinds)
def test_the_fastest_kind_of_the_same_quality_is_chosen(values: list[tuple[float, float | None]]) -> None:
    tried = [measured.kind(name, *value) for name, value in zip(KINDS, values, strict=True)]
    chosen = next(each for each in tried if each.kind == fastest(tried))
    assert chosen.line_s() <= tried[0].line_s()
    reference = tried[0].trial.perplexity
    if chosen.kind != "as-is":
        assert reference is not None
        assert (chosen.trial.perplexity or 99) <= WORST_PERPLEXITY * reference
    for other in tried[1:]:
        if reference and other.trial.perplexity and other.trial.perplexity <= reference:
            assert chosen.line_s() <= other.line_s()


def test_a_fast_kind_of_worse_quality_is_not_chosen(tiny_model: Path, tmp_path: Path) -> None:
    trial = trials(
        iq4_nl=measured.trial(0.5, 4.09), q4_0=measured.trial(1.0, 4.07), q8_0=measured.trial(1.5, 4.0)
    )
    assert measure(tiny_model, tmp_path, trial=trial).chosen == "q4_0"
    assert files(tmp_path) == ["q4_0", "q4_0"]
    again = measure(tiny_model, tmp_path, trial=trials())
    assert (again.chosen, files(tmp_path)) == ("as-is", []), "what is not served any more is removed"


def test_a_kind_that_fails_is_left_out_with_a_sentence(tiny_model: Path, tmp_path: Path) -> None:
    record = measure(
        tiny_model, tmp_path, trial=trials(q4_0="It was ended by SIGILL.", q8_0=measured.trial(1.0))
    )
    assert (record.chosen, record.remarks, record.complete) == ("q8_0", ("It was ended by SIGILL.",), False)
    assert files(tmp_path) == ["q8_0", "q8_0"]


def test_a_model_that_does_not_run_is_a_record_with_the_reason(tmp_path: Path) -> None:
    strange = write_model(tmp_path / "strange.gguf", architecture="nosuch")
    for run in (measure, lambda *a: measure_quickly(*a, name="strange")):
        record = run(strange, tmp_path / "cache")
        assert (record.chosen, record.kinds) == ("", ())
        assert "unknown model architecture: 'nosuch'" in record.remarks[0]
        assert read_measurement(record.source_sha256, tmp_path / "cache", default_threads()) == record


def test_nothing_is_requantized_for_a_gpu(tiny_model: Path, tmp_path: Path) -> None:
    record = measure(tiny_model, tmp_path, trial=trials(as_is=measured.trial(1.0, gpu=True)))
    assert [each.kind for each in record.kinds] == ["as-is"]
    assert (record.chosen, record.complete, files(tmp_path)) == ("as-is", True, [])


def test_without_room_the_published_file_is_served_with_a_sentence(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    record = measure(tiny_model, tmp_path, trial=trials(q8_0=measured.trial(0.1)))
    assert (record.chosen, record.complete, len(record.kinds)) == ("as-is", False, 1)
    assert "free 1 MiB in" in record.remarks[0]
    assert "run `ucoder models measure`" in record.remarks[0]
    monkeypatch.undo()
    assert measure(tiny_model, tmp_path, trial=trials(q8_0=measured.trial(0.1))).chosen == "q8_0"


def test_a_quick_measurement_makes_no_file(tiny_model: Path, tmp_path: Path) -> None:
    record = measure_quickly(tiny_model, tmp_path, name="tiny", n_threads=1)
    assert (record.chosen, record.complete, len(record.kinds)) == ("as-is", False, 1)
    assert record.kinds[0].trial.perplexity is None
    assert not (tmp_path / "models").exists()
    assert read_measurement(record.source_sha256, tmp_path, 1) == record


def test_a_kill_during_requantizing_leaves_nothing_that_is_used(tiny_model: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from ucoder_lsp.models.trial import measure\n"
        "from tests.ucoder_lsp.models import measured\n"
        "def progress(what, share):\n"
        "    if what.startswith('Preparing') and share > 0.5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "measure(Path(sys.argv[1]), Path(sys.argv[2]), n_threads=1, progress=progress,\n"
        "        trial=lambda prepared: measured.trial())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_model), str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "models").iterdir()
    assert left.name.endswith(".part")
    assert not (tmp_path / "measurements").exists()
    record = measure(tiny_model, tmp_path, n_threads=1, trial=trials(q8_0=measured.trial(0.1)))
    assert (record.chosen, files(tmp_path)) == ("q8_0", ["q8_0", "q8_0"])


def test_the_progress_says_what_is_measured(tiny_model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    measure(tiny_model, tmp_path, name="tiny", trial=trials(), progress=lambda what, _: said.append(what))
    assert "Measuring tiny on this CPU (as published)" in said
    assert "Preparing llama.gguf for this CPU" in said
    assert said[-1] == "Measuring tiny on this CPU (done)"
