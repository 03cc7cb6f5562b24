"""A trial of one GGUF file on this machine: its speed, and its perplexity on a text.

    python -P -m ucoder_lsp.engine.trial MODEL.gguf fast 2 TEXT.py perplexity

It runs in a process of its own, so that a crash or the lack of memory ends only the trial. The speed is that of one
request: 128 new prompt tokens, then steps of 1 and of 8 rows. Each is repeated for about half a second, and the fastest
run counts, because other programs can only make a run slower.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.self_test import NEUTRAL_FOLDER
from ucoder_lsp.files import from_json

if TYPE_CHECKING:
    from ucoder_lsp.engine.context import Context

TIMEOUT_S = 1800
"""Longer than scoring the text with a 7 B model takes on two slow cores."""
COMMAND = (sys.executable, "-P", "-m", "ucoder_lsp.engine.trial")
PROMPT_TOKENS = 128
ROWS = 8
WINDOW = 512
"""Tokens that are scored with each other as context."""
CHUNK = 32
"""Rows scored at once: logits of a large vocabulary take 20 MB (docs/decisions.md, "chunks of 32 rows")."""
SECONDS = 0.5
"""Time for the repetitions of one measurement."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial measured."""

    gpu: bool
    """Whether this build of llama.cpp computes on a GPU."""
    prefill_per_s: float
    """Prompt tokens per second."""
    step_ms: float
    """Milliseconds of one decode step of one row."""
    step_8_ms: float
    """The same of eight rows."""
    perplexity: float | None
    """Of the text; None when it was not requested."""

    def __post_init__(self) -> None:
        perplexity = 1.0 if self.perplexity is None else self.perplexity
        numbers = (self.prefill_per_s, self.step_ms, self.step_8_ms, perplexity)
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError(f"a measurement is not a positive number: {self}")


def run_trial(
    model: Path,
    text: Path,
    *,
    n_threads: int,
    extra_buffers: bool = True,
    perplexity: bool = True,
    command: tuple[str, ...] = COMMAND,
) -> Trial:
    """Measure a file in a child process.

    Args:
        text: UTF-8 text of the kind that the model will see.
        extra_buffers: as for `Engine.load`.
        perplexity: score the text as well, which takes as long as its prefill.

    Raises:
        EngineError: the file cannot be loaded, or the child was killed.
    """
    arguments = [str(model.absolute()), "fast" if extra_buffers else "plain", str(n_threads)]
    arguments += [str(text.absolute()), "perplexity" if perplexity else "speed"]
    # The child ends with this process: it reads the end of a pipe that only this process holds open.
    theirs, ours = os.pipe()
    try:
        done = subprocess.run(
            [*command, *arguments],
            cwd=NEUTRAL_FOLDER,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            env=os.environ | {"GGML_NO_BACKTRACE": "1"},  # else a crashing llama.cpp starts a debugger
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"The trial of {model.name} did not end ({error}).") from error
    finally:
        os.close(theirs)
        os.close(ours)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = ", which the system sends when memory is short" if name == "SIGKILL" else ""
        raise EngineError(f"The trial of {model.name} was ended by {name}{hint}.")
    try:
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise EngineError(answer["error"])
        return from_json(answer, Trial)
    except (ValueError, TypeError) as error:
        raise EngineError(
            f"The trial of {model.name} ended without a result (status {done.returncode})."
        ) from error


def _measure(model: Path, extra_buffers: bool, n_threads: int, text: str, with_perplexity: bool) -> Trial:
    from ucoder_lsp.engine.context import Context, LoadedModel, offloads_to_gpu

    loaded = LoadedModel(model, extra_buffers=extra_buffers)
    context = Context(
        loaded, n_cells=2 * WINDOW, n_seq=1 + ROWS, n_rows=CHUNK, n_batch=PROMPT_TOKENS, n_threads=n_threads
    )
    tokens = loaded.vocab.tokenize(text)
    window = min(WINDOW, loaded.n_ctx_train)
    prefill, step, step_8 = _speed(context, tokens)
    perplexity = _perplexity(context, tokens, window) if with_perplexity else None
    context.close()
    loaded.close()
    return Trial(offloads_to_gpu(), PROMPT_TOKENS / prefill, 1000 * step, 1000 * step_8, perplexity)


def _speed(context: Context, tokens: tuple[int, ...]) -> tuple[float, float, float]:
    """Return the seconds of the prompt, of a step of one row, and of one of eight."""
    prompt = tokens[:PROMPT_TOKENS]
    wanted = [False] * (len(prompt) - 1) + [True]

    def prefill() -> None:
        context.clear()
        context.decode(prompt, range(len(prompt)), [0] * len(prompt), wanted)
        context.logits(1)

    def step(rows: int) -> None:
        # The same position is decoded again each time: its cells are dropped, not its cost.
        for sequence in range(1, rows + 1):
            context.drop(sequence)
            context.copy(0, sequence)
        context.decode(tokens[:rows], [len(prompt)] * rows, range(1, rows + 1), [True] * rows)
        context.logits(rows)

    prefill()  # the first one also reads the weights from the disk
    prefill_s = _fastest_s(prefill, at_least=1)
    one = _fastest_s(lambda: step(1), at_least=3)
    return prefill_s, one, _fastest_s(lambda: step(ROWS), at_least=3)


def _fastest_s(run: Callable[[], None], *, at_least: int) -> float:
    """Return the shortest time of repeated runs, in seconds."""
    times: list[float] = []
    while len(times) < at_least or sum(times) < SECONDS:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _perplexity(context: Context, tokens: tuple[int, ...], window: int) -> float:
    """Return exp of the mean negative log-probability of the tokens.

    Every window is scored for itself; its first token is context only.
    """
    import numpy as np

    total, count = 0.0, 0
    for first in range(0, len(tokens) - 1, window):
        part = tokens[first : first + window]
        context.clear()
        for start in range(0, len(part) - 1, CHUNK):
            chunk = part[start : min(start + CHUNK, len(part) - 1)]
            n = len(chunk)
            context.decode(chunk, range(start, start + n), [0] * n, [True] * n)
            logits = context.logits(n)
            targets = logits[np.arange(n), part[start + 1 : start + 1 + n]]
            peak = logits.max(axis=1)
            norm = np.exp(logits - peak[:, None]).sum(axis=1, dtype=np.float64)
            total += float((peak + np.log(norm) - targets).sum())
            count += n
    return math.exp(total / count)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone."""
    sys.stdin.read()
    os._exit(1)


def _main() -> None:
    model, how, n_threads, text, what = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        trial = _measure(
            Path(model), how == "fast", int(n_threads), Path(text).read_text("utf-8"), what == "perplexity"
        )
    except EngineError as error:
        answer: dict[str, object] = {"error": str(error)}
    else:
        answer = asdict(trial)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the thread that waits for the parent holds standard input


if __name__ == "__main__":
    _main()
