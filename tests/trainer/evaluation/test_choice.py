"""Choosing among a task's answers by their behaviour, as the server does, without the benchmark's own inputs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs import propose
from sandbox.inputs.target import find_target
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job
from trainer.evaluation.choice import choose, stub_of
from trainer.evaluation.evaluate import judged, reference_results
from trainer.evaluation.oracles import Oracle
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from trainer.sampling.sampler import Sample

SQUARE = "def f(number):\n    return number * number\n"
CUBE = "def f(number):\n    return number ** 3\n"
DOUBLE = [
    "def f(number):\n    return number + number\n",
    "def f(n):\n    return 2 * n\n",
    "def f(n):\n    return n * 2\n",
]


def task_of(statement: str, template: str = "solve_sentence") -> Task:
    """Make a task without inputs and reference, which the choice must not use."""
    return Task("a", statement, template, "f", "", "", (), Oracle.EQUAL)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lowest_tier=1) as pool:
        yield pool


def chosen(
    sandbox: Sandbox, task: Task, *programs: str | None, fluency: tuple[float, ...] = ()
) -> str | None:
    return choose(task, programs, fluency or (0.0,) * len(programs), sandbox)


def test_the_most_common_behaviour_is_chosen(sandbox: Sandbox) -> None:
    task = task_of("Write a function that doubles a number.\nassert f(2) == 4")
    assert chosen(sandbox, task, SQUARE, *DOUBLE) in DOUBLE


def test_the_example_in_the_prompt_outweighs_the_most_common_behaviour(sandbox: Sandbox) -> None:
    task = task_of("Write a function to square a number.\nassert f(3) == 9")
    assert chosen(sandbox, task, *DOUBLE, CUBE, SQUARE) == SQUARE


@pytest.mark.parametrize("example", ["sorted(f(3)) == [9]", "set(f(3)) == {9}"])
def test_an_example_may_call_the_function_inside_an_expression(sandbox: Sandbox, example: str) -> None:
    listed = [source.replace("return ", "return [")[:-1] + "]\n" for source in (*DOUBLE, SQUARE)]
    assert chosen(sandbox, task_of(f"Square it.\nassert {example}"), *listed) == listed[-1]


def test_a_stub_is_read_with_its_own_examples(sandbox: Sandbox) -> None:
    task = task_of(
        'def f(number: int) -> int:\n    """Square it.\n\n    >>> f(3)\n    9\n    """', "solve_stub"
    )
    assert chosen(sandbox, task, *DOUBLE, SQUARE) == SQUARE


def test_without_a_consensus_the_most_fluent_program_is_chosen(sandbox: Sandbox) -> None:
    crashing = ["def f(x):\n    return y\n", "def f(x):\n    return z\n", None]
    assert (
        chosen(sandbox, task_of("Do it.\nassert f(1) == 2"), *crashing, fluency=(-0.9, -0.1, 0.0))
        == crashing[1]
    )
    assert chosen(sandbox, task_of("no example here"), *crashing, fluency=(-0.1, -0.9, 0.0)) == crashing[0]


def test_without_a_program_none_is_chosen(sandbox: Sandbox) -> None:
    assert chosen(sandbox, task_of("Do it.\nassert f(1) == 2"), None, None) is None


def test_the_benchmarks_inputs_judge_the_choice_and_do_not_make_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark_inputs = tuple(Call("f", (number,)) for number in (1234567, 7654321))
    task = Task(
        "a", "Square it.\nassert f(2) == 4", "solve_sentence", "f", "", SQUARE, benchmark_inputs, Oracle.EQUAL
    )
    expected = reference_results([task], sandbox, ProgressReporter())["a"]
    ran: list[Job] = []
    run = sandbox.run
    monkeypatch.setattr(sandbox, "run", lambda jobs: ran.extend(jobs) or run(jobs))
    score = judged(task, [Sample(text, 0.0, True) for text in (SQUARE, *DOUBLE)], sandbox, expected)
    one = judged(task, [Sample(SQUARE, 0.0, True)], sandbox, expected)
    # 2 + 2 is 4 too, and most programs double: the benchmark's inputs would show the error, but do not choose.
    assert (score.passed, score.chosen, score.chosen_own) == (1, False, False)
    assert (one.passed, one.chosen, one.chosen_own) == (1, None, None)
    to_choose = [job.probes for job in ran if Call("f", (2,)) in job.probes]
    assert len(to_choose) == 4
    assert not any(probe in probes for probes in to_choose for probe in benchmark_inputs)


def test_a_sentence_becomes_a_stub_with_the_parameters_of_a_program_that_fits() -> None:
    task = task_of("Add them.\nassert f(1, [2]) == 3\nassert f(0, []) == 0")
    found = find_target(stub_of(task, [SQUARE, "def f(start, items):\n    return start + sum(items)\n"]), "f")
    assert found is not None
    assert [parameter.name for parameter in found.parameters] == ["start", "items"]
    assert found.docstring == "Add them.\n\n>>> f(1, [2]) == 3\nTrue"
    assert stub_of(task, [SQUARE]).startswith("def f(argument_0, argument_1):")


@given(st.text(max_size=80), st.text(max_size=60), st.lists(st.sampled_from([SQUARE, *DOUBLE, "def f(", ""])))
def test_any_sentence_and_any_assert_make_a_stub(sentence: str, claim: str, programs: list[str]) -> None:
    task = task_of(f"{sentence}\nassert {claim}")
    stub = stub_of(task, programs)
    assert find_target(stub, "f") is not None
    with_example = find_target(stub_of(task_of(f"{sentence}\nassert f(3) == 9"), programs), "f")
    assert with_example is not None
    assert "f(3) == 9" in with_example.docstring


def test_an_assert_about_another_function_gives_no_example() -> None:
    stub = stub_of(task_of("Do it.\nassert g(1) == 2"), [SQUARE])
    proposed = propose(stub, "f")
    assert proposed.constraints == ()
    assert not any(isinstance(probe, Expression) for probe in proposed.probes)
