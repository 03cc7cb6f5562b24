"""Lines of HumanEval as tasks."""

from __future__ import annotations

import pytest

from sandbox.program import Check
from trainer.evaluation.humaneval import humaneval_task

ROW = {
    "task_id": "HumanEval/0",
    "prompt": "\nimport math\n\ndef helper(x):\n    return x\n\ndef f(x):\n    '''Double it.'''\n",
    "canonical_solution": "    return helper(x) * 2\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "f",
}


def test_imports_and_helpers_of_the_prompt_become_the_prelude() -> None:
    task = humaneval_task(ROW)
    assert task.prelude == "import math\ndef helper(x):\n    return x"
    assert task.reference == ROW["prompt"] + ROW["canonical_solution"]
    assert task.probes == (Check(ROW["test"] + "\ncheck(f)\n"),)
    assert task.oracle is None


def test_a_prompt_that_does_not_parse_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt of f does not parse"):
        humaneval_task({**ROW, "prompt": "def f(:"})
