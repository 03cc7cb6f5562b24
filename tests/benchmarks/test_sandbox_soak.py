"""A short soak finds every record right, and the soak detects leaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import sandbox_soak
from benchmarks.sandbox_soak import soak


def test_a_short_soak_gives_every_job_exactly_one_right_record(tmp_path: Path) -> None:
    report = soak(1500, seed=7, folder=tmp_path, kill_every=250)
    assert report.wrong == []
    assert report.jobs == report.records == 1500
    assert report.kills > 0
    assert report.supervisor_kills == 2
    assert [len(readings) > 20 for readings in report.readings] == [True] * 3


def test_soak_detects_processes_left_running_and_growth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_soak, "GONE_S", 0.2)
    waits = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", waits, str(tmp_path)], stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()  # before that its command line may still be empty
        seen = sandbox_soak._left(str(tmp_path))
        left.kill()
    assert seen == [left.pid]
    assert sandbox_soak._left(str(tmp_path)) == []
    for growth, complaints in ((0, 0), (100, 0), (1000, 1)):
        report = sandbox_soak.SoakReport(0)
        sandbox_soak._take_report(
            report, [["reading", str(n), str(30_000 + n * growth), "20"] for n in range(30)]
        )
        assert len(report.wrong) == complaints
