"""The report of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.trainer.run.whole_run import WHOLE
from trainer.profile import PROFILES
from trainer.report import curve, write_report
from trainer.run.folder import RunFolder, RunRecord
from trainer.stages.funnel import Funnel


def test_the_report_escapes_the_models_text(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False))
    funnel = Funnel()
    funnel.count("problems", "kept", "<script>alert(1)</script>", "a < b & c")
    funnel.count("problems", "has no docstring", "t", "x")
    run.arm("consensus")
    page = write_report(run, "consensus", funnel, [(1, 0.5), (2, 0.25)], None).read_text()
    assert "<script>" not in page
    assert "a &lt; b &amp; c" in page
    assert "has no docstring" in page
    assert "From 0.500 to 0.250 over 2 steps" in page
    assert "<polyline" in page
    assert curve([]) is None
    assert curve([(1, 0.0)]) is not None


def test_the_report_shows_the_number_of_nights_from_two_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.arm("consensus")
    shown = []
    for nights in (1, 3):
        run.write("run.json", json.dumps(WHOLE["run.json"] | {"nights": nights}))
        page = write_report(run, "consensus", Funnel(), [], None).read_text()
        shown.append(re.findall(r"of \d+ nights", page))
    assert shown == [[], ["of 3 nights"]]
