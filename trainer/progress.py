"""How far the work is: bars on a terminal, plain lines in a log, and a small file that `ucoder train status` reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ucoder_lsp.files import write_atomically

EVERY_S = 15.0
"""Seconds between two lines in a log."""
WRITE_S = 1.0
"""Seconds between two updates of the file."""

Step = Callable[[int, str], None]
"""Called with the units done so far and a remark (a rate's meaning, a loss), which may be empty."""


class Teller:
    """Tells about one piece of work, stage by stage."""

    def __init__(self, file: Path | None = None, console: Console | None = None) -> None:
        """Without a file nothing is left behind."""
        self.file = file
        self.console = console or Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Step]:
        """Open a stage of `total` units; yields what to call as it advances."""
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
                    self._write(name, done, total, note)
                if not self.console.is_terminal and (now - last_line >= EVERY_S or done == total):
                    last_line = now
                    self.console.print(
                        f"{name}: {done} of {total}{f' ({note})' if note else ''}", highlight=False
                    )

            step(0)
            yield step

    def say(self, text: str) -> None:
        """One line for the person who watches."""
        self.console.print(text, highlight=False, markup=False)

    def _write(self, stage: str, done: int, total: int, note: str) -> None:
        if self.file is None:
            return
        state = {"stage": stage, "done": done, "total": total, "note": note}
        with suppress(OSError):  # only for who watches: a full disk stops the work where work is lost
            write_atomically(self.file, json.dumps(state))
