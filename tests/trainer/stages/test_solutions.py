"""Solutions are requested for each skeleton, and read from the answers."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from sandbox.pool import Sandbox
from tests.trainer.scripted_model import TINY, Script, context
from tests.trainer.second_largest import problem, sample
from trainer import pipeline
from trainer.data import dataset
from trainer.stages import skeletons, solutions
from trainer.stages.served_prompts import without_examples
from trainer.stages.skeletons import PLAN


def test_a_skeleton_is_completed_in_the_chat_without_its_example() -> None:
    for skeleton in skeletons.read(problem(), [sample(" sort it.")]):
        asked = solutions.request(problem(), skeleton, 4, TINY, lambda said: f"<user>{said}<model>")
        head = problem().stub.partition("    >>> ")[0].rstrip()
        plan = skeleton.removeprefix(problem().stub)
        assert f'```python\n{head}\n    """{plan}\n```<model>' in asked.prompt.text
        assert ast.get_docstring(
            cast("ast.FunctionDef", ast.parse(without_examples(skeleton) + "\n    pass").body[0])
        )


def test_a_sample_without_a_complete_function_has_no_program() -> None:
    head = "def second_largest(numbers):\n"
    texts = [f"```python\n{head}    return sorted(numbers)[-2]\n```", f"{head}    return sorted(numbers)[", "none", head + "    pass"]  # fmt: skip  # noqa: E501
    found = solutions.read(problem(), [sample(text) for text in texts])
    assert [s.source is not None for s in found] == [True, False, False, False]


@given(st.integers(1, 9), st.integers(0, 200))
def test_solutions_are_spread_evenly_over_skeletons(n_skeletons: int, n: int) -> None:
    shares = [share for _, share in solutions.shared_out([f"s{i}" for i in range(n_skeletons)], n)]
    assert sum(shares) == n
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1


def test_a_problem_is_given_up_when_no_two_first_samples_agree(tmp_path: Path) -> None:
    largest = "sorted(numbers)[-{}]"
    script = Script(
        {
            "alike": [largest.format(2), largest.format(2) + " + 0", "len(numbers)", "sum(numbers)"],
            "unlike": [largest.format(1), "numbers * 2", "len(numbers)", "sum(numbers)"],
        }
    )
    profile = replace(TINY, task_samples=2, solutions=8, skeletons=2, keep_rated=1.0, min_cluster=3)
    with Sandbox(lowest_tier=1) as sandbox:
        first = pipeline.first_round(context(script, tmp_path, sandbox, profile))
    planned = [text for text in script.asked if f"{PLAN} sort them." in text]
    assert [("def alike(" in text, "def unlike(" in text) for text in planned] == [(True, False)]
    (found,) = first.selected
    pool = dataset.control_pool(first.candidates, first.examined)
    assert (found.problem.function, found.consensus.cluster, found.consensus.n) == ("alike", 4, 8)
    assert {control.problem.function for control in pool} == {"alike", "unlike"}
