"""What was measured of a model on this machine, and kept.

There is one record per model file, CPU, build of llama.cpp and number of threads. A record that is damaged, or was made
elsewhere, counts as missing: the model is then measured again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.engine.trial import ROWS, Trial
from ucoder_lsp.files import read_json, to_json, write_atomically

LINE_PROMPT_TOKENS = 128
LINE_STEPS = 12
"""The request that models are compared by: a line of 12 tokens behind 128 new tokens of the prompt."""


@dataclass(frozen=True, slots=True)
class MeasuredKind:
    """One kind of a model's file, measured here."""

    kind: str
    """`as-is`, or what the file was requantized to."""
    n_bytes: int
    trial: Trial

    def line_s(self, candidates: int = ROWS) -> float:
        """Predict the seconds that a line takes with this many candidates.

        Candidates share rows as long as they are equal, so a step is counted with half of the rows that the candidates
        add. That is more than needed: with 8 candidates 24 lines took 2.3 to 2.7 rows per step on three models.
        """
        extra_row_ms = (self.trial.step_8_ms - self.trial.step_ms) / (ROWS - 1)
        step_ms = self.trial.step_ms + max(0.0, extra_row_ms) * (candidates - 1) / 2
        return LINE_PROMPT_TOKENS / self.trial.prefill_per_s + LINE_STEPS * step_ms / 1000


@dataclass(frozen=True, slots=True)
class Measurement:
    """The record of one model on one machine."""

    source_sha256: str
    chosen: str
    """The kind to serve; empty when the model does not run here."""
    kinds: tuple[MeasuredKind, ...]
    complete: bool
    """Whether every kind was tried. False after the short trial at a server's start, or where the disk was full."""
    remarks: tuple[str, ...] = ()
    """One sentence for each kind that could not be measured; without any kind, the reason."""

    def __post_init__(self) -> None:
        if bool(self.kinds) != bool(self.chosen) or (self.chosen and self.best is None):
            raise ValueError(f"the chosen kind {self.chosen!r} was not measured")

    @property
    def best(self) -> MeasuredKind | None:
        """The measured kind that is served; None when the model does not run here."""
        return next((measured for measured in self.kinds if measured.kind == self.chosen), None)


def read_measurement(sha256: str, cache_dir: Path, n_threads: int) -> Measurement | None:
    """Return the record of a model on this machine; None where there is none that can be used."""
    try:
        record = read_json(_path(sha256, cache_dir, n_threads), Measurement)
    except (OSError, ValueError):
        return None  # missing or damaged
    return record if record.source_sha256 == sha256 else None


def keep_measurement(record: Measurement, cache_dir: Path, n_threads: int) -> None:
    """Keep a record for later starts."""
    path = _path(record.source_sha256, cache_dir, n_threads)
    with suppress(OSError):  # without this record the next start measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_json(record))


def machine_key(subject: str) -> str:
    """Return a key of the subject, the llama.cpp build and the CPU."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    libraries = sorted(path for folder in folders for path in Path(folder, "lib").glob("*"))
    build = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in libraries]
    try:
        cpu = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
        cpu = "\n".join(
            line for line in cpu.splitlines() if line.startswith(("model name", "flags", "Features"))
        )
    except OSError:
        cpu = platform.processor()
    return hashlib.sha256(json.dumps([subject, build, cpu]).encode()).hexdigest()[:24]


def _path(sha256: str, cache_dir: Path, n_threads: int) -> Path:
    return cache_dir / "measurements" / f"{machine_key(f'{sha256}:{n_threads}')}.json"
