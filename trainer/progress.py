"""The progress of the work.

It is shown as bars on a terminal and as plain lines in a log, and kept in a file for `ucoder train status`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ucoder_lsp.files import write_atomically

EVERY_S = 15.0
"""Seconds between two lines in a log."""
WRITE_S = 1.0
"""Seconds between two updates of the file."""

Step = Callable[[int, str], None]
"""Called with the number of finished units and a remark (such as a loss), which may be empty."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The stage at work: progress.json."""

    stage: str
    done: int
    total: int
    note: str


class ProgressReporter:
    """Reports one piece of work, stage by stage."""

    def __init__(self, file: Path | None = None, console: Console | None = None) -> None:
        """Report on `console` (default: standard error), and in `file` if given."""
        self.file = file
        self.console = console or Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Step]:
        """Open a stage of `total` units.

        Yields the function to call as it advances.
        """
        started = time.monotonic()
        last_line = last_write = 0.0
        columns = (
            TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as bars:
            bar = bars.add_task(name, total=total, note="")

            def step(done: int, remark: str = "") -> None:
                nonlocal last_line, last_write
                now = time.monotonic()
                rate = done / max(now - started, 1e-9) * 60
                note = ", ".join(part for part in (f"{rate:,.1f} {unit}/min" if done else "", remark) if part)
                bars.update(bar, completed=done, note=note)
                if now - last_write >= WRITE_S or done == total:
                    last_write = now
                    self._write(StageProgress(name, done, total, note))
                if not self.console.is_terminal and (now - last_line >= EVERY_S or done == total):
                    last_line = now
                    self.console.print(
                        f"{name}: {done} of {total}{f' ({note})' if note else ''}", highlight=False
                    )

            step(0)
            yield step

    def message(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False, markup=False)

    def _write(self, progress: StageProgress) -> None:
        if self.file is None:
            return
        with suppress(OSError):  # for display only: a full disk stops the work where work would be lost
            write_atomically(self.file, json.dumps(asdict(progress)))
