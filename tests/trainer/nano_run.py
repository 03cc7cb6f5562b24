"""The process that the tests kill: a whole training run on the embedded model, as small as it can be.

python -m tests.trainer.nano_run RUN CACHE DATA [die]

A few fixed tasks replace the sampled ones. Every adapter is accepted: the one held-out problem decides nothing, and the
publication is to be tried. With `die` the process kills itself between the publication of its adapter and the record of
it, a moment too short to hit from outside.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import trainer.night
import trainer.stages.tasks
from trainer.night import Options, prepare, train
from trainer.profile import PROFILES
from trainer.progress import ProgressReporter
from trainer.result import Acceptance
from trainer.run.folder import RunFolder
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import load

NANO = replace(
    PROFILES["tiny"], name="nano", task_samples=1, ratings=1, keep_rated=1.0, skeletons=1, asserts=1, solutions=6,
    solution_tokens=80, probes=8, min_cluster=2, min_confidence=0.0, min_outputs=1, per_problem=1, held_out=0.34,
    own_answers=1, gate_samples=2, epochs=2, rounds=2,
)  # fmt: skip
"""Two epochs give a checkpoint to continue from; two rounds give samples that depend on an adapter."""
TASKS = [
    "Write a function to find the maximum of 3 integers.",
    "Write a function to find the longest word of a string.",
    "Write a function to count the vowels in a string.",
    "Write a function to find the second largest number of a list.",
]
"""Easy ones: on some of them the model reaches a consensus, whatever the CPU."""


class Dying(AdapterRegistry):
    """Publishes, and is killed."""

    def publish(self, *args: Any, **kwargs: Any) -> AdapterVersion:
        super().publish(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def main() -> None:
    Acceptance.accepted = property(lambda _: True)
    trainer.stages.tasks.distinct = lambda _: (TASKS, [])
    if sys.argv[4:] == ["die"]:
        trainer.night.AdapterRegistry = Dying
    folder, cache, data = map(Path, sys.argv[1:4])
    settings, _ = load({"cache_dir": str(cache), "data_dir": str(data), "threads": 2}, {})
    run = RunFolder(folder)
    with run.locked():
        reporter = ProgressReporter(run.progress)
        model = prepare("embedded", settings, reporter)
        result = train(run, model, Options(NANO), settings, reporter)
    sys.stdout.write(json.dumps(asdict(result), default=str) + "\n")


if __name__ == "__main__":
    main()
