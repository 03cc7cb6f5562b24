"""The base's own answers are learned, rehearsed or dropped by their behaviour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.pool import Sandbox
from tests.trainer.scripted_model import TINY, Script, context
from trainer import pipeline
from trainer.data import dataset, own_answers
from trainer.data.own_answers import Found, confirm, different, shown_value, sort_out
from trainer.stages.selection import Dropped, Examined


def test_own_answers_are_sorted_by_their_behaviour(tmp_path: Path) -> None:
    right = "sorted(numbers)[-2]"
    bodies = {"agrees": right, "differs": "len(numbers)", "raises": "numbers.nothing", "judge": right}
    script = Script({name: [body, *[f"{right} + {name.count('')}"] * 4] for name, body in bodies.items()})
    script.bodies["agrees"] = script.bodies["judge"] = [right]
    profile = replace(TINY, task_samples=16, solutions=5, keep_rated=1.0, min_cluster=2, own_answers=1)
    with Sandbox(lowest_tier=1) as sandbox:
        stage_context = context(script, tmp_path, sandbox, profile)
        first = pipeline.first_round(stage_context)
        held = [found for found in first.selected if found.problem.function == "judge"]
        trained = pipeline.without(held, first.candidates)
        own = own_answers.run(stage_context, trained, selected=True)
        control = own_answers.run(stage_context, trained, selected=False)
    assert {row.function for row in own.learned} == {"agrees"}
    assert {row.function for row in own.rehearsed} == {"differs"}
    assert len(own.learned) == len(own.rehearsed) == 2  # one for each served prompt
    assert not control.learned
    assert {row.function for row in control.rehearsed} == bodies.keys() - {"judge"}
    n_asked = len(script.asked)
    with Sandbox(lowest_tier=1) as sandbox:
        again = context(script, tmp_path, sandbox, profile)
        assert pipeline.first_round(again) == first
        assert own_answers.run(again, trained, selected=True) == own
    assert len(script.asked) == n_asked


@pytest.mark.parametrize(
    ("body", "claims", "found"),
    [
        ("return [x]", ["assert f(1) == [1]", "assert f('a') == ['a']"], Found.SAME),
        ("return (x,)", ["assert f(1) == [1]"], Found.OTHER),
        ("return [x or 1]", ["assert f(1) == [1]", "assert f(0) == [0]"], Found.OTHER),
        ("return [x + 0]", ["assert f(1) == [1]", "assert f('a') == ['a']"], Found.OTHER),
        ("return [x + 0]", ["assert f('a') == ['a']", "assert f(1) == [1]"], Found.FAILED),
        ("while True: pass", ["assert f(1) == [1]"], Found.FAILED),
        # As it is served, without added imports.
        ("return math.sqrt(x)", ["assert f(4) == 2.0"], Found.FAILED),
        ("return frozenset([x])", ["assert f(1) == frozenset({1})"], Found.NOT_RUN),
        ("return x", ["assert f(frozenset({1})) == frozenset({1})", "assert f(2) == 2"], Found.SAME),
    ],
)
def test_an_answer_is_run_on_the_inputs_of_its_problem(body: str, claims: list[str], found: Found) -> None:
    with Sandbox(lowest_tier=1) as sandbox:
        assert confirm(written(body), claims, sandbox) is found


def written(body: str, prompt: str = "prompt") -> dataset.TrainingExample:
    return dataset.TrainingExample("f", prompt, f"```python\ndef f(x):\n    {body}\n```")


def test_each_program_of_a_prompt_counts_once() -> None:
    first, other = written("y = x + 1\n    return y"), written("return x + 1")
    renamed = written("z = x + 1\n    return z")
    assert different([None, first, renamed, other, None, first]) == [first, other]


def test_a_prompt_with_a_confirmed_answer_rehearses_nothing() -> None:
    right, also, wrong, worse = (written(f"return {number}") for number in range(4))
    raises, unknown = written("raise"), (written("return {x}"), written("return {1}"))
    own = sort_out(
        [
            [(wrong, Found.OTHER), (right, Found.SAME), (raises, Found.FAILED), (also, Found.SAME)],
            [(raises, Found.FAILED), (wrong, Found.OTHER), (worse, Found.OTHER)],
            [(raises, Found.FAILED)],
            [(answer, Found.NOT_RUN) for answer in unknown],
            [],
        ]
    )
    assert own.learned == (right, also)
    assert set(own.rehearsed) == {wrong, *unknown}
    assert len(own.rehearsed) == 3


@pytest.mark.parametrize(
    ("own", "claims", "selected", "control"),
    [
        ([(), ("assert f() == 3",), ("assert f() == 2",)], ["assert f() == 2"], "assert f() == 2", "assert f() == 3"),
        ([("assert f() == 3",)], [], None, "assert f() == 3"),
        ([(), ()], [], None, None),
    ],
)  # fmt: skip
def test_prompts_of_the_control_arm_show_nothing_that_was_selected(
    own: list[tuple[str, ...]], claims: list[str], selected: str | None, control: str | None
) -> None:
    examined = Examined(Dropped(""), tuple(own), tuple(claims), 0)
    assert shown_value(examined, selected=True) == selected
    assert shown_value(examined, selected=False) == control
