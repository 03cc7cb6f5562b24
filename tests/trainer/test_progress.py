"""Progress on the terminal and on disk."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from trainer.progress import ProgressReporter


def test_progress_is_lines_in_a_log_and_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log:  # rich wants a text stream
        reporter = ProgressReporter(tmp_path / "progress.json", Console(file=log))
        with reporter.stage("tests", 3, "problems") as step:
            for done in (1, 2, 3):
                step(done, "fine")
    text = (tmp_path / "log").read_text()
    assert "tests: 0 of 3" in text
    assert "tests: 3 of 3 (" in text
    state = json.loads((tmp_path / "progress.json").read_text())
    assert (state["stage"], state["done"], state["total"]) == ("tests", 3, 3)


def test_unwritable_progress_does_not_stop_the_work(tmp_path: Path) -> None:
    reporter = ProgressReporter(tmp_path / "gone" / "progress.json")
    with reporter.stage("tests", 1, "problems") as step:
        step(1)
    reporter.message("done")
