"""The progress of a download: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

EVERY_S = 5.0
"""Seconds between two lines in a log."""


class DownloadMeter:
    """Reports steps of a known number of bytes; see `sources.types.Meter`."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._what, self._total, self._last_line = "", 0, 0.0

    def start(self, what: str, total: int) -> None:
        """Begin a step."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total)
        self._what, self._total, self._last_line = what, total, time.monotonic()
        if not self._bars.console.is_terminal:
            self._bars.console.print(
                f"{what} ({total / 10**6:,.0f} MB)", highlight=False, markup=False, soft_wrap=True
            )

    def at(self, done: int) -> None:
        """Report the bytes that are here."""
        if self._task is not None:
            self._bars.update(self._task, completed=done)
        now = time.monotonic()
        if not self._bars.console.is_terminal and now - self._last_line >= EVERY_S:
            self._last_line = now
            line = f"{self._what}: {done / 10**6:,.0f} of {self._total / 10**6:,.0f} MB"
            self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def download_meter(console: Console) -> Iterator[DownloadMeter]:
    """Yield a meter; its bar disappears at the end."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield DownloadMeter(bars)
