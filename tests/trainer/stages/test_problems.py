"""Stage 1: what the model wrote is read as tasks and problems, or left out with a reason; never an exception."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.inputs import propose
from sandbox.pool import Sandbox
from sandbox.program import Job, Program
from tests.trainer.second_largest import TASK, TEXT, problem, sample
from trainer.data import dataset
from trainer.sampling.answers import end_of_block
from trainer.sampling.sampler import Prompt, Sample
from trainer.stages.problems import (
    OPENINGS,
    SHOT_SETS,
    UNSUITED,
    Problem,
    Rejected,
    distinct_tasks,
    exercises,
    new_to,
    overlaps,
    parse_problem,
    problem_prompt,
    read_task,
    shot_set,
    task_prompt,
    word_shingles,
)


def test_a_problem_is_read_from_a_continuation() -> None:
    found = problem()
    assert (found.title, found.function, found.hint) == ("Second largest", "second_largest", "Sort it.")
    assert found.task == TASK
    assert found.stub.startswith("def second_largest(")
    assert found.stub.endswith('"""')


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" Sort it.", "", "laid out"),
        ("```\n", "", "laid out"),
        ("def second", "def def second", "parse"),
        ("numbers: list[int]", "numbers", "typed"),
        ("    >>> second_largest([4, 9, 7])\n    8\n", "", "example"),
        ("    8\n", "    8\n" + "    x\n" * 700, "too long"),
        ('"""\n```', '"""\n\nprint(1)\n```', "exactly one function"),
    ],
)
def test_what_is_no_problem_is_rejected_with_its_reason(old: str, new: str, reason: str) -> None:
    found = parse_problem(TASK, TEXT.replace(old, new))
    assert isinstance(found, Rejected)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        ("", "", True),
        ('"""Find', 'r"""Find', True),
        ('8\n    """', '8"""', True),
        ("    8\n", "    8\n\n    >>> second_largest([1, 2])\n    1\n", True),
        ('"""', "'''", False),
        ("\n    ", "\n  ", False),
        ("\n    ", "\n\t", False),
        (">>> second_largest([4, 9, 7])\n", "    >>> second_largest([4, 9, 7])\n    ", False),
        ("list.\n\n    >>>", "list. >>>", False),
        ("    >>> second_largest([4, 9, 7])\n    8", "    second_largest([4, 9, 7]) -> 8", False),
        ("    8\n", "    8\n\n    The list has two at least.\n", False),
        ('"""\n```', '"""  # done\n```', False),
    ],
    ids=[
        "asked",
        "raw",
        "closed",
        "two",
        "apostrophes",
        "narrow",
        "tab",
        "deep",
        "inline",
        "arrow",
        "text",
        "comment",
    ],
)
def test_a_docstring_is_kept_only_where_its_example_can_be_replaced(old: str, new: str, fits: bool) -> None:
    found = parse_problem(TASK, TEXT.replace(old, new) if old else TEXT)
    if not fits:
        assert isinstance(found, Rejected)
        assert "laid out with the example last" in found.reason
        return
    assert isinstance(found, Problem)
    stub = dataset.with_example(found.stub, "assert second_largest([5, 6]) == 5")
    head = found.stub.partition("    >>> ")[0]
    assert stub == f'{head}    >>> second_largest([5, 6])\n    5\n    """'


@given(
    st.lists(
        st.sampled_from(
            [
                '"""',
                "'''",
                '    """',
                "    ",
                "\n    ",
                "\n",
                "    >>> f(1)\n    1\n",
                "f(1) -> 1",
                ">>> f(1)",
                "\\",
                "x",
            ]
        ),
        max_size=12,
    )
)
@example(["    ", "'''", "\n", "    >>> f(1)\n    1\n", "    ", "'''"])
def test_another_example_never_breaks_a_stub(parts: list[str]) -> None:
    code = "def f(x: int) -> int:\n" + "".join(parts)
    found = parse_problem(TASK, f" Do.\n\n```python\n{code}\n```\n")
    if isinstance(found, Problem):
        (function,) = ast.parse(dataset.with_example(found.stub, "assert f(2) == 3") + "\n    pass").body
        assert (ast.get_docstring(cast("ast.FunctionDef", function)) or "").endswith(">>> f(2)\n3")


@given(st.text(max_size=400))
def test_no_text_makes_the_reading_fail(text: str) -> None:
    for wrapped in (text, TEXT.replace("Sort it.", text), f"x\n\n```python\n{text}\n```\n"):
        assert isinstance(parse_problem(TASK, wrapped), Problem | Rejected)
    end = end_of_block(text)
    assert end is None or 0 <= end <= len(text)


def test_every_hand_written_exercise_is_a_right_one() -> None:
    """They are shown to the model as models: each passes its asserts and keeps its example, in the sandbox."""
    with Sandbox(lowest_tier=1) as sandbox:
        for exercise in exercises():
            assert exercise.code == f"{exercise.stub}\n{exercise.plan}\n{exercise.body}"
            name = exercise.function
            inputs = propose(exercise.stub, name, tests=[exercise.asserts], budget=8)
            result = sandbox.run_one(Job(Program(exercise.code), inputs.probes))
            votes = (*inputs.constraints, *inputs.asserts)
            assert len(votes) >= 3
            for vote in votes:
                assert result.outcomes[vote.probe].value == vote.expected, (name, vote)


def test_the_prompt_shows_exercises_and_opens_another() -> None:
    prompt = problem_prompt(TASK, 3)
    assert prompt.text.count("## Exercise\n") == 5
    assert prompt.text[prompt.n_shared :] == f"## Exercise\n\nTask: {TASK}\n\nHint:"
    assert prompt == problem_prompt(TASK, 3) != problem_prompt(TASK, 4)


@pytest.mark.parametrize("n", [3, 4])
def test_all_exercises_are_shown_and_equally_often(n: int) -> None:
    shown = [exercise.function for number in range(SHOT_SETS) for exercise in shot_set(number, n)]
    counts = Counter(shown)
    assert counts.keys() == {exercise.function for exercise in exercises()}
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (" the larger of two numbers", "Write a function to find the larger of two numbers."),
        (" the larger of two\n numbers using Python:", "Write a function to find the larger of two numbers."),
        (" all tuples in python of a list.", "Write a function to find all tuples in python of a list."),
        (' the word "a" (or "b")', 'Write a function to find the word "a" (or "b").'),
    ],
)
def test_a_task_is_one_sentence(text: str, task: str) -> None:
    assert read_task("Write a function to find", sample(text)) == task


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (sample("  . "), "says nothing"),
        (sample(" the word `a"), "breaks off"),
        (sample(" a value (e.g"), "breaks off"),
        (sample(" a user in a database"), "values from values"),
        (Sample(" the larger of", -0.5, finished=False), "come to an end"),
        (sample(" the larger of" + " the larger of" * 12), "come to an end"),
    ],
)
def test_what_is_no_task_is_rejected_with_its_reason(found: Sample, reason: str) -> None:
    task = read_task("Write a function to find", found)
    assert isinstance(task, Rejected)
    assert reason in task.reason


def test_no_task_is_named_in_two_ways() -> None:
    assert read_task("Write a Python function that takes a list", sample(" and sorts it.")) == (
        "Write a function that takes a list and sorts it."
    )


@given(st.text(max_size=200), st.booleans())
def test_no_text_makes_the_reading_of_tasks_fail(text: str, finished: bool) -> None:
    task = read_task(OPENINGS[0], Sample(text, -0.5, finished))
    if isinstance(task, str):
        assert task.startswith(OPENINGS[0])
        assert len(task.splitlines()) == 1
        assert len(task) <= 161


def test_openings_are_all_different_and_fit_what_follows() -> None:
    assert len(set(OPENINGS)) == len(OPENINGS) == 54
    assert not any(UNSUITED.search(opening) for opening in OPENINGS)


def test_the_user_is_asked_where_the_base_knows_users_and_a_list_is_continued_elsewhere() -> None:
    turn = task_prompt(OPENINGS[0], f"<user>{OPENINGS[0]}", 3)
    assert turn == Prompt(f"<user>{OPENINGS[0]}")
    listed = task_prompt(OPENINGS[0], None, 3)
    assert listed.text.count("Write a function ") == 5
    assert listed.text[listed.n_shared :] == OPENINGS[0]


def test_repeated_tasks_are_told_apart() -> None:
    other = "Write a function to add two numbers."
    again = TASK.upper() + "!!"
    assert distinct_tasks([TASK, again, TASK, other]) == ([TASK, other], [again, TASK])


def test_only_the_exercises_keep_their_names_to_themselves() -> None:
    one = problem()
    namesake, new = replace(one, task="Another task."), replace(one, function="third")
    assert new_to([], [one, namesake, new]) == ([one, namesake, new], [])
    assert new_to([one.function], [one, namesake, new]) == ([new], [one, namesake])


def test_decontamination_finds_eight_words_in_a_row_and_no_fewer() -> None:
    shingles = word_shingles(
        ["Please: FIND the second, largest number of a list (quickly) 1 2 3 4 5 6 7 8 9"]
    )
    assert overlaps(TASK, shingles)
    assert not overlaps("find the second largest number of a set", shingles)
