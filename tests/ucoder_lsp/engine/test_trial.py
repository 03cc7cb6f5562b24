"""The trial of a model file in a child process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.tiny_gguf import write_model
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.trial import WINDOW, Trial, run_trial

TEXT = "def area(r):\n    return 3 * r * r  # é\n" * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.py"
    path.write_text(TEXT, "utf-8")
    return path


def python(code: str) -> tuple[str, ...]:
    """Return a command that runs this instead of the trial."""
    return (sys.executable, "-c", code)


def test_the_perplexity_is_that_of_the_engine(tiny_model: Path, text: Path, engine: Engine) -> None:
    trial = run_trial(tiny_model, text, n_threads=1)
    tokens = engine.tokenize(TEXT)
    assert len(tokens) > WINDOW, "the text fills more than one window"
    scores: list[float] = []
    for first in range(0, len(tokens), WINDOW):
        part = tokens[first : first + WINDOW]
        scores += engine.logprobs(part[:1], part[1:])
    assert trial.perplexity == pytest.approx(math.exp(-sum(scores) / len(scores)), rel=1e-4)
    assert not trial.gpu


def test_only_the_speed_is_measured_on_request(tiny_model: Path, text: Path) -> None:
    trial = run_trial(tiny_model, text, n_threads=1, extra_buffers=False, perplexity=False)
    assert trial.perplexity is None
    assert min(trial.prefill_per_s, trial.step_ms, trial.step_8_ms) > 0


def test_an_unknown_architecture_is_one_sentence(tmp_path: Path, text: Path) -> None:
    strange = write_model(tmp_path / "strange.gguf", architecture="nosuch")
    with pytest.raises(
        EngineError, match=r"cannot load .*unknown model architecture: 'nosuch'.*use a complete"
    ):
        run_trial(strange, text, n_threads=1)


@pytest.mark.parametrize(
    ("name", "hint"), [("SIGSEGV", r"SIGSEGV\."), ("SIGKILL", "SIGKILL, .*memory is short")]
)
def test_a_killed_trial_is_one_sentence(tiny_model: Path, text: Path, name: str, hint: str) -> None:
    command = python(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(EngineError, match=rf"llama.gguf was ended by {hint}"):
        run_trial(tiny_model, text, n_threads=1, command=command)


@pytest.mark.parametrize("answer", ["", "{", "[]", "7", "{}", '{"gpu": false, "prefill_per_s": NaN}'])
def test_a_trial_without_a_result_is_one_sentence(tiny_model: Path, text: Path, answer: str) -> None:
    with pytest.raises(EngineError, match="without a result"):
        run_trial(tiny_model, text, n_threads=1, command=python(f"print({answer!r})"))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_measurement_is_a_positive_number(value: float) -> None:
    with pytest.raises(ValueError, match="not a positive number"):
        Trial(False, 1.0, value, 1.0, None)
    with pytest.raises(ValueError, match="not a positive number"):
        Trial(False, 1.0, 1.0, 1.0, value)


def test_the_trial_ends_with_the_process_that_started_it(
    tiny_model: Path, text: Path, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    child = (
        "import os, pathlib, sys, threading; from ucoder_lsp.engine import trial\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\n"
        "trial._end_with_parent()"
    )
    code = (
        "import sys; from pathlib import Path; from ucoder_lsp.engine.trial import run_trial\n"
        f"run_trial(Path(sys.argv[1]), Path(sys.argv[2]), n_threads=1, command=(sys.executable, '-c', {child!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tiny_model), str(text)])
    while not (pid.exists() and pid.read_text()):
        assert parent.poll() is None, "the parent waits for its child"
        time.sleep(0.01)
    trial = int(pid.read_text())
    os.kill(trial, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while _runs(trial):  # the time limit of the test ends this
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
