"""Continuations are read as problems, or dropped with a reason; none raises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.second_largest import TASK, TEXT, problem
from trainer.sampling.answers import END_OF_BLOCK
from trainer.stages import problems
from trainer.stages.funnel import Rejected
from trainer.stages.problems import Problem
from trainer.stages.served_prompts import with_example


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
def test_an_unusable_problem_is_rejected_with_its_reason(old: str, new: str, reason: str) -> None:
    found = problems.read(TASK, TEXT.replace(old, new))
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
def test_a_docstring_is_kept_only_if_its_example_can_be_replaced(old: str, new: str, fits: bool) -> None:
    found = problems.read(TASK, TEXT.replace(old, new) if old else TEXT)
    if not fits:
        assert isinstance(found, Rejected)
        assert "laid out with the example last" in found.reason
        return
    assert isinstance(found, Problem)
    stub = with_example(found.stub, "assert second_largest([5, 6]) == 5")
    head = found.stub.partition("    >>> ")[0]
    assert stub == f'{head}    >>> second_largest([5, 6])\n    5\n    """'


@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    for wrapped in (text, TEXT.replace("Sort it.", text), f"x\n\n```python\n{text}\n```\n"):
        assert isinstance(problems.read(TASK, wrapped), Problem | Rejected)
    end = END_OF_BLOCK.find_end(text)
    assert end is None or 0 <= end <= len(text)


def test_the_prompt_shows_exercises_and_opens_another() -> None:
    prompt = problems.prompt(TASK, 3)
    assert prompt.text.count("## Exercise\n") == 5
    assert prompt.text[prompt.n_shared :] == f"## Exercise\n\nTask: {TASK}\n\nHint:"
    assert prompt == problems.prompt(TASK, 3) != problems.prompt(TASK, 4)


def test_a_problem_named_as_an_exercise_is_a_duplicate_and_namesakes_are_not() -> None:
    one = problem()
    namesake, new = replace(one, task="Another task."), replace(one, function="third")
    assert problems.new_to([], [one, namesake, new]) == ([one, namesake, new], [])
    assert problems.new_to([one.function], [one, namesake, new]) == ([new], [one, namesake])
