"""The stages together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sandbox.pool import Sandbox
from tests.trainer.scripted_model import TINY, Script, context
from trainer import pipeline
from trainer.stages.tasks import OPENINGS


def test_another_night_samples_more_tasks_and_reuses_the_first_ones(tmp_path: Path) -> None:
    profile = replace(TINY, task_samples=len(OPENINGS) * 16)
    asked: list[list[str]] = []
    for nights in (1, 2, 2):
        script = Script({"largest": ["max(numbers)"]})
        with Sandbox(lowest_tier=1) as sandbox:
            pipeline.first_round(context(script, tmp_path, sandbox, profile), nights)
        asked.append(script.asked)
    turns = [[text for text in texts if text in OPENINGS] for texts in asked]
    assert turns == [list(OPENINGS), list(OPENINGS), []], "another draw of each opening, and nothing twice"
    assert len(asked[0]) > len(turns[0])
    assert asked[1] == turns[1], "the one problem is known"
