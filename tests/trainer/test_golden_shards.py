"""The shard keys of a training run stay the same: a changed key would make every earlier run sample anew.

A change is made on purpose only: raise the version of the stage that changed, then write the new keys with
`python -m tests.trainer.test_golden_shards` and note it in the changelog.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandbox.pool import Sandbox
from tests.trainer.scripted_model import TINY, Script, context
from trainer import adapter_gate, pipeline
from trainer.data import own_answers
from trainer.run.store import Stage
from trainer.stages import problems, ratings, selection, skeletons, solutions, tasks, tests

GOLDEN = Path(__file__).with_name("golden_shards.json")
PROFILE = replace(
    TINY, task_samples=3, solutions=6, skeletons=2, keep_rated=1.0, min_cluster=2, own_answers=2, rounds=2
)
STAGES = [
    *((module, "STAGE") for module in (tasks, problems, ratings, skeletons, tests, solutions, selection)),
    (own_answers, "STAGE"),
    (own_answers, "RUNS"),
    (adapter_gate, "STAGE"),
]
"""Every stage that writes shards: its module, and its name there."""


def shard_keys(folder: Path) -> dict[str, list[str]]:
    """Return every shard key of two rounds and an acceptance, by stage."""
    second = "sorted(numbers)[-2]"
    script = Script({"second": [second, second + " + 0", "len(numbers)"], "total": ["sum(numbers)"]})
    adapted = Script(script.bodies)
    adapted.adapter = "adapter"
    with Sandbox(lowest_tier=1) as sandbox:
        stage_context = context(script, folder, sandbox, PROFILE)
        first = pipeline.first_round(stage_context)
        held = [found for found in first.selected if found.problem.function == "total"]
        own_answers.run(stage_context, pipeline.without(held, first.candidates), selected=True)
        pipeline.next_round(stage_context, first, adapted, held, 2)
        adapter_gate.evaluate(stage_context, held, adapted)
    return {
        stage.name: sorted(shard.stem for shard in stage.glob("*.json")) for stage in sorted(folder.iterdir())
    }


def test_the_shard_keys_are_those_of_earlier_runs(tmp_path: Path) -> None:
    assert shard_keys(tmp_path / "shards") == json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize(("module", "name"), STAGES, ids=[getattr(*stage).name for stage in STAGES])
def test_a_higher_version_changes_the_keys_of_its_stage_alone(
    module: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later keys hold its outputs, not its keys: they change only where an output does."""
    stage: Stage = getattr(module, name)
    monkeypatch.setattr(module, name, replace(stage, version=stage.version + 1))
    raised, before = shard_keys(tmp_path / "shards"), json.loads(GOLDEN.read_text("utf-8"))
    assert {folder for folder in before if raised[folder] != before[folder]} == {stage.name}
    assert set(raised[stage.name]).isdisjoint(before[stage.name])


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        GOLDEN.write_text(json.dumps(shard_keys(Path(temporary) / "shards"), indent=1) + "\n", "utf-8")
    sys.stdout.write(f"Wrote {GOLDEN}.\n")
