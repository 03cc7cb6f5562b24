"""The training examples, and what is held out or drawn."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.trainer.second_largest import RIGHT, problem
from trainer.data import dataset
from trainer.sampling.answers import extract_function
from trainer.stages.selection import Consensus, Selected


def test_examples_have_both_served_prompts_and_short_answers() -> None:
    claim = "assert second_largest([4, 9, 7]) == 7"
    source = RIGHT.replace(":\n    return", ':\n    """Doc."""\n    return')
    sentence, stub, _ = dataset.examples(problem(), [source], [claim], lambda user: f"<{user}>")
    assert claim in sentence.prompt
    assert (
        sentence.completion == "```python\ndef second_largest(numbers):\n    return sorted(numbers)[-2]\n```"
    )
    assert ">>> second_largest([4, 9, 7])\n    7\n" in stub.prompt
    assert "    8\n" not in stub.prompt
    assert "numbers: list[int]) -> int:" in stub.completion
    for row in (sentence, stub):
        assert extract_function(row.completion, "second_largest") is not None
    lines = dataset.to_jsonl([sentence, stub]).splitlines()
    assert [dataset.TrainingExample(**json.loads(line)) for line in lines] == [sentence, stub]


def test_the_control_arm_is_drawn_from_all_samples_and_reproducible() -> None:
    pool = [dataset.Control(problem(), f"def f{i}(): pass\n", ("assert 1",)) for i in range(50)]
    drawn = dataset.unselected(pool, 10, seed=1)
    assert len({control.source for control in drawn}) == 10
    assert drawn == dataset.unselected(pool, 10, seed=1) != dataset.unselected(pool, 10, seed=2)
    assert len(dataset.unselected(pool, 99, seed=1)) == 50


def test_held_out_problems_are_not_trained_on() -> None:
    one = Selected(problem(), Consensus((RIGHT,), ("assert 1",), 0.9, 3, 4, 1))
    every = [replace(one, problem=replace(problem(), function=f"f{i}")) for i in range(10)]
    train, held = dataset.split(every, 0.2)
    assert (len(held), len(train)) == (2, 8)
    assert {s.problem.function for s in train}.isdisjoint({s.problem.function for s in held})


def test_namesakes_are_held_out_together() -> None:
    one = Selected(problem(), Consensus((RIGHT,), ("assert 1",), 0.9, 3, 4, 1))
    every = [
        replace(one, problem=replace(problem(), function=f"f{i}", task=f"Task {turn}."))
        for turn in range(2)
        for i in range(10)
    ]
    train, held = dataset.split(every, 0.2)
    assert len(held) == 4
    assert {s.problem.function for s in train}.isdisjoint({s.problem.function for s in held})


def test_the_control_arm_draws_as_many_own_answers_from_all() -> None:
    every = [dataset.TrainingExample(f"f{i}", "prompt", "completion") for i in range(30)]
    own = dataset.OwnAnswers(tuple(every[:10]), tuple(every[10:]))
    drawn = own.drawn(10, 15, seed=1)
    assert (len(drawn.learned), len(drawn.rehearsed)) == (10, 15)
    assert len({*drawn.learned, *drawn.rehearsed}) == 25
    assert not set(drawn.learned) <= set(own.learned)
    assert own.drawn(10, 15, seed=1) == drawn != own.drawn(10, 15, seed=2)
