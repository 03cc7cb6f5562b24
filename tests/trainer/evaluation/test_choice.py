"""Choosing among a task's answers by what they do, as the server does, without the benchmark's own inputs."""

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


def asked(statement: str, template: str = "solve_sentence") -> Task:
    """A task that holds no inputs and no reference: whoever looks at those chooses nothing."""
    return Task("a", statement, template, "f", "", "", (), Oracle.EQUAL)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lowest_tier=1) as pool:
        yield pool


def chosen(
    sandbox: Sandbox, task: Task, *programs: str | None, fluency: tuple[float, ...] = ()
) -> str | None:
    return choose(task, programs, fluency or (0.0,) * len(programs), sandbox)


def test_what_most_programs_do_is_chosen(sandbox: Sandbox) -> None:
    task = asked("Write a function that doubles a number.\nassert f(2) == 4")
    assert chosen(sandbox, task, SQUARE, *DOUBLE) in DOUBLE


def test_the_example_shown_outweighs_what_most_programs_do(sandbox: Sandbox) -> None:
    task = asked("Write a function to square a number.\nassert f(3) == 9")
    assert chosen(sandbox, task, *DOUBLE, CUBE, SQUARE) == SQUARE


@pytest.mark.parametrize("example", ["sorted(f(3)) == [9]", "set(f(3)) == {9}"])
def test_an_example_that_calls_the_function_inside_an_expression_counts_too(
    sandbox: Sandbox, example: str
) -> None:
    listed = [source.replace("return ", "return [")[:-1] + "]\n" for source in (*DOUBLE, SQUARE)]
    assert chosen(sandbox, asked(f"Square it.\nassert {example}"), *listed) == listed[-1]


def test_a_stub_is_read_with_its_own_examples(sandbox: Sandbox) -> None:
    task = asked(
        'def f(number: int) -> int:\n    """Square it.\n\n    >>> f(3)\n    9\n    """', "solve_stub"
    )
    assert chosen(sandbox, task, *DOUBLE, SQUARE) == SQUARE


def test_where_running_decides_nothing_the_most_fluent_program_is_chosen(sandbox: Sandbox) -> None:
    crashing = ["def f(x):\n    return y\n", "def f(x):\n    return z\n", None]
    assert (
        chosen(sandbox, asked("Do it.\nassert f(1) == 2"), *crashing, fluency=(-0.9, -0.1, 0.0))
        == crashing[1]
    )
    assert chosen(sandbox, asked("no example here"), *crashing, fluency=(-0.1, -0.9, 0.0)) == crashing[0]


def test_where_no_answer_holds_a_program_none_is_chosen(sandbox: Sandbox) -> None:
    assert chosen(sandbox, asked("Do it.\nassert f(1) == 2"), None, None) is None


def test_the_choice_is_made_without_the_benchmarks_inputs_and_judged_by_them(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = tuple(Call("f", (number,)) for number in (1234567, 7654321))
    task = Task("a", "Square it.\nassert f(2) == 4", "solve_sentence", "f", "", SQUARE, telling, Oracle.EQUAL)
    expected = reference_results([task], sandbox, ProgressReporter())["a"]
    asked: list[Job] = []
    run = sandbox.run
    monkeypatch.setattr(sandbox, "run", lambda jobs: asked.extend(jobs) or run(jobs))
    score = judged(task, [Sample(text, 0.0, True) for text in (SQUARE, *DOUBLE)], sandbox, expected)
    one = judged(task, [Sample(SQUARE, 0.0, True)], sandbox, expected)
    # 2 + 2 is 4 too, and most do that: what the benchmark would have told is not known where it is chosen.
    assert (score.passed, score.chosen, score.chosen_own) == (1, False, False)
    assert (one.passed, one.chosen, one.chosen_own) == (1, None, None)
    to_choose = [job.probes for job in asked if Call("f", (2,)) in job.probes]
    assert len(to_choose) == 4
    assert not any(probe in probes for probes in to_choose for probe in telling)


def test_a_sentence_becomes_a_stub_with_the_parameters_of_a_program_that_fits() -> None:
    task = asked("Add them.\nassert f(1, [2]) == 3\nassert f(0, []) == 0")
    found = find_target(stub_of(task, [SQUARE, "def f(start, items):\n    return start + sum(items)\n"]), "f")
    assert found is not None
    assert [parameter.name for parameter in found.parameters] == ["start", "items"]
    assert found.docstring == "Add them.\n\n>>> f(1, [2]) == 3\nTrue"
    assert stub_of(task, [SQUARE]).startswith("def f(argument_0, argument_1):")


@given(st.text(max_size=80), st.text(max_size=60), st.lists(st.sampled_from([SQUARE, *DOUBLE, "def f(", ""])))
def test_any_sentence_and_any_assert_make_a_stub(sentence: str, claim: str, programs: list[str]) -> None:
    task = asked(f"{sentence}\nassert {claim}")
    stub = stub_of(task, programs)
    assert find_target(stub, "f") is not None
    with_example = find_target(stub_of(asked(f"{sentence}\nassert f(3) == 9"), programs), "f")
    assert with_example is not None
    assert "f(3) == 9" in with_example.docstring


def test_an_assert_of_something_else_gives_no_example_that_could_mislead() -> None:
    stub = stub_of(asked("Do it.\nassert g(1) == 2"), [SQUARE])
    proposed = propose(stub, "f")
    assert proposed.constraints == ()
    assert not any(isinstance(probe, Expression) for probe in proposed.probes)
