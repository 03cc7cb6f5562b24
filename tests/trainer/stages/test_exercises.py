"""The hand-written exercises are correct, and all are shown equally often."""

from __future__ import annotations

from collections import Counter

import pytest

from sandbox.inputs import propose
from sandbox.pool import Sandbox
from sandbox.program import Job, Program
from trainer.stages.exercises import SHOT_SETS, exercises, shot_set


def test_every_exercise_passes_its_asserts_and_keeps_its_example() -> None:
    """The model takes them as examples, so each is run in the sandbox."""
    with Sandbox(lowest_tier=1) as sandbox:
        for exercise in exercises():
            assert exercise.code.startswith(f"{exercise.stub}\n{exercise.plan}\n")
            name = exercise.function
            inputs = propose(exercise.stub, name, tests=[exercise.asserts], budget=8)
            result = sandbox.run_one(Job(Program(exercise.code), inputs.probes))
            votes = (*inputs.constraints, *inputs.asserts)
            assert len(votes) >= 3
            for vote in votes:
                assert result.outcomes[vote.probe].value == vote.expected, (name, vote)


@pytest.mark.parametrize("n", [3, 4])
def test_all_exercises_are_shown_equally_often(n: int) -> None:
    shown = [exercise.function for number in range(SHOT_SETS) for exercise in shot_set(number, n)]
    counts = Counter(shown)
    assert counts.keys() == {exercise.function for exercise in exercises()}
    assert max(counts.values()) - min(counts.values()) <= 1
