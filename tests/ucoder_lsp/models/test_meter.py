"""The progress of a download, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ucoder_lsp.models import meter as meter_module
from ucoder_lsp.models.meter import download_meter


def test_a_log_gets_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(meter_module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with download_meter(Console(file=out, width=40)) as meter:
        meter.start("Downloading [x]", 20_000_000)
        for second in range(13):
            now[0] = 100.0 + second
            meter.at(second * 10**6)
        meter.start("Verifying", 20_000_000)
    assert out.getvalue().splitlines() == [
        "Downloading [x] (20 MB)",
        "Downloading [x]: 5 of 20 MB",
        "Downloading [x]: 10 of 20 MB",
        "Verifying (20 MB)",
    ]


def test_a_terminal_gets_one_bar_that_disappears() -> None:
    out = io.StringIO()
    with download_meter(Console(file=out, width=90, force_terminal=True)) as meter:
        meter.start("Downloading", 20_000_000)
        meter.at(5_000_000)
        meter.start("Verifying", 20_000_000)
        meter.at(10_000_000)
    text = out.getvalue()
    assert "Verifying" in text
    assert "10.0/20.0 MB" in text
    assert text.endswith("\x1b[2K"), "the line is erased"
