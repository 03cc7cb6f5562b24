"""The keys of a training run's shards stay what they are: a key that changes makes every earlier run sample anew.

A change is made on purpose only: raise the version of the stage that changed, then write the new keys with
`python -m tests.trainer.test_golden_shards` and say so in the changelog.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from sandbox.pool import Sandbox
from tests.trainer.stages.test_stages import TINY, Script
from trainer.pipeline import Loop
from trainer.progress import Teller
from trainer.run.store import Store

GOLDEN = Path(__file__).with_name("golden_shards.json")
PROFILE = replace(
    TINY, task_samples=3, solutions=6, skeletons=2, keep_rated=1.0, min_cluster=2, own_answers=2, rounds=2
)


def shard_keys(folder: Path) -> dict[str, list[str]]:
    """Every shard of two rounds and a gate, by stage, as a scripted model makes them."""
    second = "sorted(numbers)[-2]"
    script = Script({"second": [second, second + " + 0", "len(numbers)"], "total": ["sum(numbers)"]})
    adapted = Script(script.bodies)
    adapted.adapter = "adapter"
    with Sandbox(lowest_tier=1) as sandbox:
        loop = Loop(PROFILE, script, Store(folder), sandbox, Teller(console=Console(quiet=True)))
        selected, _ = loop.probe()
        held = [found for found in selected if found.problem.function == "total"]
        loop.own_answers(held, selected=True)
        loop.probe_again(adapted, held, 2)
        loop.gate(held, adapted)
    return {
        stage.name: sorted(shard.stem for shard in stage.glob("*.json")) for stage in sorted(folder.iterdir())
    }


def test_the_shard_keys_are_those_of_earlier_runs(tmp_path: Path) -> None:
    assert shard_keys(tmp_path / "shards") == json.loads(GOLDEN.read_text("utf-8"))


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        GOLDEN.write_text(json.dumps(shard_keys(Path(temporary) / "shards"), indent=1) + "\n", "utf-8")
    sys.stdout.write(f"Wrote {GOLDEN}.\n")
