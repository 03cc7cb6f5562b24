"""Continuations are read as tasks, or dropped with a reason; none raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.second_largest import TASK, sample
from trainer.sampling.sampler import Prompt, Sample
from trainer.stages import tasks
from trainer.stages.funnel import Rejected
from trainer.stages.tasks import OPENINGS


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (" the larger of two numbers", "Write a function to find the larger of two numbers."),
        (" the larger of two\n numbers using Python:", "Write a function to find the larger of two numbers."),
        (" all tuples in python of a list.", "Write a function to find all tuples in python of a list."),
        (' the word "a" (or "b")', 'Write a function to find the word "a" (or "b").'),
    ],
)
def test_a_continuation_is_read_as_one_sentence(text: str, task: str) -> None:
    assert tasks.read("Write a function to find", sample(text)) == task


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (sample("  . "), "is empty"),
        (sample(" the word `a"), "breaks off"),
        (sample(" a value (e.g"), "breaks off"),
        (sample(" a user in a database"), "more than plain values"),
        (Sample(" the larger of", -0.5, finished=False), "come to an end"),
        (sample(" the larger of" + " the larger of" * 12), "come to an end"),
    ],
)
def test_an_unusable_task_is_rejected_with_its_reason(found: Sample, reason: str) -> None:
    task = tasks.read("Write a function to find", found)
    assert isinstance(task, Rejected)
    assert reason in task.reason


def test_both_kinds_of_openings_give_the_same_form() -> None:
    assert tasks.read("Write a Python function that takes a list", sample(" and sorts it.")) == (
        "Write a function that takes a list and sorts it."
    )


@given(st.text(max_size=200), st.booleans())
def test_any_text_can_be_read(text: str, finished: bool) -> None:
    task = tasks.read(OPENINGS[0], Sample(text, -0.5, finished))
    if isinstance(task, str):
        assert task.startswith(OPENINGS[0])
        assert len(task.splitlines()) == 1
        assert len(task) <= 161


def test_openings_are_distinct_and_suited() -> None:
    assert len(set(OPENINGS)) == len(OPENINGS) == 54
    assert not any(tasks.UNSUITED.search(opening) for opening in OPENINGS)


def test_a_chat_model_continues_a_user_turn_and_another_base_a_list() -> None:
    turn = tasks.prompt(OPENINGS[0], f"<user>{OPENINGS[0]}", 3)
    assert turn == Prompt(f"<user>{OPENINGS[0]}")
    listed = tasks.prompt(OPENINGS[0], None, 3)
    assert listed.text.count("Write a function ") == 5
    assert listed.text[listed.n_shared :] == OPENINGS[0]


def test_duplicate_tasks_are_separated() -> None:
    other = "Write a function to add two numbers."
    again = TASK.upper() + "!!"
    assert tasks.distinct([TASK, again, TASK, other]) == ([TASK, other], [again, TASK])
