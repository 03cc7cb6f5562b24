"""The stages together."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sandbox.pool import Sandbox
from tests.trainer.scripted_model import TINY, Script, context
from trainer import pipeline
from trainer.progress import ProgressReporter, Step
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


class Recorder(ProgressReporter):
    """Keeps the titles of the stages."""

    def __init__(self) -> None:
        super().__init__(console=Console(quiet=True))
        self.titles: list[str] = []

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Step]:
        self.titles.append(name)
        return super().stage(name, total, unit)


def test_the_stages_run_in_the_listed_order(tmp_path: Path) -> None:
    recorder = Recorder()
    with Sandbox(lowest_tier=1) as sandbox:
        stage_context = context(Script({"largest": ["max(numbers)"]}), tmp_path, sandbox)
        pipeline.first_round(replace(stage_context, reporter=recorder))
    assert recorder.titles == [stage.name for stage in pipeline.STAGES]
    assert {folder.name for folder in tmp_path.iterdir()} <= set(recorder.titles)
