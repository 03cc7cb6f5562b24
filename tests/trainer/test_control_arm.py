"""The control arm of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.run.whole_run import WHOLE
from trainer.data.dataset import Control
from trainer.errors import TrainerError
from trainer.night import Budget, budget_of_consensus, unselected
from trainer.run.folder import RunFolder
from trainer.stages.problems import Problem
from trainer.stages.selection import Consensus, Selected


def test_the_control_arm_is_as_large_as_consensus_without_held_out_problems(tmp_path: Path) -> None:
    def about(number: int) -> Problem:
        return Problem("Do it.", "hint", f"f{number}", f"def f{number}(xs: list) -> int:")

    pool = [Control(about(n % 10), f"def f{n % 10}(xs): return {n}", ("assert 1",)) for n in range(60)]
    held = [Selected(about(3), Consensus(("def f3(xs): return 3",), ("assert 1",), 0.5, 3, 8, 2))]
    run = RunFolder(tmp_path)
    with pytest.raises(TrainerError, match="without --select random come to its end"):
        budget_of_consensus(run, nights=1)
    run.arm("consensus")
    counts = {"programs": 20, "examples": 47, "learned": 7, "rehearsed": 5}
    run.write("consensus/result.json", json.dumps(WHOLE["consensus/result.json"] | counts))
    with pytest.raises(TrainerError, match="without --select random come to its end"):
        budget_of_consensus(run, nights=3)
    budget = budget_of_consensus(run, nights=1)
    assert budget == Budget(programs=20, learned=7, rehearsed=5)
    picked = unselected(budget.programs, pool, held, seed=0)
    assert len(picked) == 20
    assert "f3" not in {problem.function for problem, _, _ in picked}
