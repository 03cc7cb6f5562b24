"""Stages 2 to 6, data set, gate: what the model wrote is read, or left out with a reason; never an exception."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.consensus.election import run_all
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.inputs import ProbeSet
from sandbox.pool import Sandbox
from sandbox.program import Call
from tests.trainer.second_largest import TEXT, problem, sample
from trainer.adapter_gate import compare
from trainer.data import dataset
from trainer.data.own_answers import Found, confirm, different, sort_out
from trainer.pipeline import Loop
from trainer.profile import PROFILES, Profile
from trainer.progress import Teller
from trainer.run.store import Store
from trainer.sampling.answers import extract_function
from trainer.sampling.engines import Engines
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from trainer.stages import selection
from trainer.stages import solutions as stages
from trainer.stages.problems import OPENINGS
from trainer.stages.selection import Dropped, Selected
from trainer.stages.solutions import Solution
from ucoder_lsp.engine.engine import Engine

TINY = replace(PROFILES["tiny"], min_cluster=2, min_confidence=0.0)


# --- ratings, skeletons, tests, solutions ------------------------------------------------------------------------


def test_ratings_are_means_over_what_can_be_read() -> None:
    texts = [" 4\nDifficulty: 2", " 2\nDifficulty: 4", " 9\nDifficulty: 1", "good"]
    assert stages.read_rating([sample(text) for text in texts]) == stages.Rating(3.0, 3.0)
    assert stages.read_rating([sample("?")]) == stages.Rating(0.0, 0.0)


def test_skeletons_are_the_stub_and_its_distinct_plans() -> None:
    found = stages.skeletons(problem(), [sample(" sort it, take the last but one."), sample(" "), sample("sort it, take the last but one.")])  # fmt: skip  # noqa: E501
    assert found == [problem().stub, problem().stub + "\n    # Plan: sort it, take the last but one."]
    for skeleton in found:
        ast.parse(skeleton + "\n    return 0")


def test_the_models_own_example_is_a_vote_and_no_constraint() -> None:
    tests = stages.read_tests(problem(), [sample("[1, 2]) == 1\nassert second_largest([5, 5]) == 5")])
    inputs = selection.probes_for(problem(), tests, TINY)
    assert inputs.constraints == ()
    assert len(inputs.asserts) == 3
    assert len(inputs.probes) == TINY.probes


def test_a_skeleton_is_asked_for_in_the_chat_without_its_example() -> None:
    for skeleton in stages.skeletons(problem(), [sample(" sort it.")]):
        asked = stages.ask_solutions(skeleton, 4, TINY, lambda said: f"<user>{said}<model>")
        head = problem().stub.partition("    >>> ")[0].rstrip()
        plan = skeleton.removeprefix(problem().stub)
        assert f'```python\n{head}\n    """{plan}\n```<model>' in asked.prompt.text
        assert ast.get_docstring(
            cast("ast.FunctionDef", ast.parse(stages.bare(skeleton) + "\n    pass").body[0])
        )


def test_solutions_are_programs_or_nothing() -> None:
    head = "def second_largest(numbers):\n"
    texts = [f"```python\n{head}    return sorted(numbers)[-2]\n```", f"{head}    return sorted(numbers)[", "none", head + "    pass"]  # fmt: skip  # noqa: E501
    found = stages.read_solutions(problem(), [sample(text) for text in texts])
    assert [s.source is not None for s in found] == [True, False, False, False]


# --- selection ----------------------------------------------------------------------------------------------------

RIGHT = "def second_largest(numbers: list[int]) -> int:\n    return sorted(numbers)[-2]\n"
ALSO = "def second_largest(numbers: list[int]) -> int:\n    xs = sorted(numbers)\n    return xs[-2]\n"
FIRST = "def second_largest(numbers: list[int]) -> int:\n    return numbers[0]\n"
ZERO = "def second_largest(numbers: list[int]) -> int:\n    return 0\n"
HUGE = "def second_largest(numbers: list[int]) -> int:\n    return 10**5000 + sorted(numbers)[-2]\n"


def examine(*sources: str | None, profile: Profile = TINY) -> Selected | Dropped:
    solutions = [Solution(source, -0.5) for source in sources]
    inputs = selection.probes_for(problem(), ["assert second_largest([3, 1, 2]) == 2"], TINY)
    with Sandbox(lowest_tier=1) as sandbox:
        election = selection.hold_election(solutions, inputs, sandbox, RULES[DEFAULT_RULE])
    return selection.select(problem(), solutions, election, inputs, profile)


def test_consensus_selects_different_programs_of_one_behaviour() -> None:
    found = examine(RIGHT, ALSO, RIGHT, FIRST, None)
    assert isinstance(found, Selected)
    assert set(found.sources) == {RIGHT, ALSO}
    assert (found.cluster, found.n, found.clusters) == (3, 5, 2)
    namespace: dict[str, object] = {}
    exec(RIGHT, namespace)
    for text in found.asserts:
        exec(text, namespace)


LAST = "def second_largest(numbers: list[int]) -> int:\n    return numbers[-1]\n"
SORTED = "def second_largest(numbers: list[int]) -> list[int]:\n    return sorted(numbers)\n"


@pytest.mark.parametrize(
    ("sources", "inputs", "order"),
    [
        pytest.param([RIGHT, FIRST, LAST], ([2, 1, 2], [2, 1, 3], [0, 0], [1, 2, 3]), [3, 1, 0, 2], id="others differ"),
        pytest.param([RIGHT, "def f(", FIRST + "\nraise ValueError"], ([1, 2], [0, 3]), [0, 1], id="others fail"),
        pytest.param([SORTED], ([1, 2], [], [2, 1]), [2, 0, 1], id="given back or empty"),
    ],
)  # fmt: skip
def test_the_most_telling_input_is_shown_first(
    sources: list[str], inputs: tuple[list[int], ...], order: list[int]
) -> None:
    probes = ProbeSet(tuple(Call("second_largest", (numbers,)) for numbers in inputs))
    with Sandbox(lowest_tier=1) as sandbox:
        results = run_all(sources, probes.probes, sandbox=sandbox, limits=selection.LIMITS)
    assert results[0] is not None
    shown = selection.asserts_of(probes, results[0], results)
    assert [text.partition(" ==")[0] for text in shown] == [
        f"assert second_largest({inputs[number]})" for number in order
    ]


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ((RIGHT, FIRST, None), "behave alike"),
        ((ZERO, ZERO, ZERO), "constant"),
        ((None, None), "no solution could be chosen"),
        ((RIGHT.replace("sorted", "missing"),) * 3, "no solution could be chosen"),
        ((HUGE, HUGE, HUGE), "no value of the winning behaviour can be written down"),
    ],
)
def test_what_is_no_consensus_is_dropped_with_its_reason(
    sources: tuple[str | None, ...], reason: str
) -> None:
    found = examine(*sources)
    assert isinstance(found, Dropped)
    assert reason in found.reason


def test_a_test_that_says_yes_and_no_is_not_constant() -> None:
    even = "def second_largest(numbers: list[int]) -> bool:\n    return len(numbers) {} 3\n"
    assert isinstance(examine(*[even.format(">")] * 3), Selected)
    never = examine(*[even.format("< 0 *")] * 3)
    assert isinstance(never, Dropped)
    assert "constant" in never.reason


def test_a_consensus_that_is_too_likely_wrong_is_dropped() -> None:
    votes = (RIGHT, RIGHT, ALSO, FIRST, ZERO)
    sure = examine(*votes)
    assert isinstance(sure, Selected)
    found = examine(*votes, profile=replace(TINY, min_confidence=sure.confidence + 0.01))
    assert isinstance(found, Dropped)
    assert "likely to be wrong" in found.reason


def test_a_later_round_with_twice_the_samples_needs_twice_the_cluster() -> None:
    def vote(agreeing: int) -> Selected | Dropped:
        others = [FIRST.replace("[0]", f"[0] + {n}") for n in range(2 * TINY.solutions - agreeing)]
        return examine(*[RIGHT] * agreeing, *others)

    few = vote(2 * TINY.min_cluster - 1)
    assert isinstance(few, Dropped)
    assert "behave alike" in few.reason
    assert isinstance(vote(2 * TINY.min_cluster), Selected)


@given(st.integers(1, 9), st.integers(0, 200))
def test_solutions_are_shared_out_evenly(skeletons: int, n: int) -> None:
    shares = [share for _, share in stages.shared_out([f"s{i}" for i in range(skeletons)], n)]
    assert sum(shares) == n
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1


class Script(Sampler):
    """Plays the model: what it says to each kind of prompt is written down here, and what it was asked is kept."""

    def __init__(self, bodies: dict[str, list[str]]) -> None:
        """`bodies`: for each function to invent, the bodies of the solutions that the bare stub gets."""
        self.bodies = bodies
        self.adapter = None
        engine = SimpleNamespace(model_id="script", chat_template="{{ messages[0]['content'] }}", vocab=SimpleNamespace(bos=None, eos=None))  # fmt: skip  # noqa: E501
        self.engines = Engines(cast("list[Engine]", [engine]))  # one at a time
        self.asked: list[str] = []

    def sample(
        self, prompt: Prompt, draw: Draw, stop_when: Callable[[str], int | None] | None = None
    ) -> list[Sample]:
        self.asked.append(prompt.text)
        own = prompt.text[prompt.n_shared :]
        if own in OPENINGS:
            texts = [f" {name} of some numbers" for name in self.bodies]
        elif own.endswith("Hint:"):
            name = next(name for name in self.bodies if name in own)
            texts = ["no form" if draw.seed == 0 else TEXT.replace("second_largest", name)]
        elif own.endswith("Quality:"):
            texts = [" 4\nDifficulty: 2"]
        elif own.endswith(stages.PLAN):
            texts = [" sort them."]
        elif "Tests, edge cases" in own:
            texts = ["[3, 1, 2]) == 2"]
        else:
            name = next(name for name in self.bodies if f"{name}(" in own)
            texts = [f"def {name}(numbers):\n    return {body}\n" for body in self.bodies[name]]
        return [sample(texts[i % len(texts)]) for i in range(draw.n)]


def test_a_problem_no_two_of_whose_first_samples_agree_is_given_up(tmp_path: Path) -> None:
    largest = "sorted(numbers)[-{}]"
    script = Script(
        {
            "alike": [largest.format(2), largest.format(2) + " + 0", "len(numbers)", "sum(numbers)"],
            "unlike": [largest.format(1), "numbers * 2", "len(numbers)", "sum(numbers)"],
        }
    )
    profile = replace(TINY, task_samples=2, solutions=8, skeletons=2, keep_rated=1.0, min_cluster=3)
    teller = Teller(console=Console(quiet=True))
    with Sandbox(lowest_tier=1) as sandbox:
        selected, pool = Loop(profile, script, Store(tmp_path), sandbox, teller).probe()
    planned = [text for text in script.asked if f"{stages.PLAN} sort them." in text]
    assert [("def alike(" in text, "def unlike(" in text) for text in planned] == [(True, False)]
    (found,) = selected
    assert (found.problem.function, found.cluster, found.n) == ("alike", 4, 8)
    assert {control.problem.function for control in pool} == {"alike", "unlike"}


def test_own_answers_are_sorted_by_what_they_do(tmp_path: Path) -> None:
    right = "sorted(numbers)[-2]"
    first = {"agrees": right, "differs": "len(numbers)", "raises": "numbers.nothing", "judge": right}
    script = Script({name: [body, *[f"{right} + {name.count('')}"] * 4] for name, body in first.items()})
    script.bodies["agrees"] = script.bodies["judge"] = [right]
    profile = replace(
        TINY, task_samples=16, solutions=5, keep_rated=1.0, min_cluster=2, own_answers=1
    )  # fmt: skip
    teller = Teller(console=Console(quiet=True))
    with Sandbox(lowest_tier=1) as sandbox:
        loop = Loop(profile, script, Store(tmp_path), sandbox, teller)
        selected, _ = loop.probe()
        held = [found for found in selected if found.problem.function == "judge"]
        own = loop.own_answers(held, selected=True)
        control = loop.own_answers(held, selected=False)
    assert {row.function for row in own.learned} == {"agrees"}
    assert {row.function for row in own.rehearsed} == {"differs"}
    assert len(own.learned) == len(own.rehearsed) == 2  # asked by a sentence, and by a stub
    assert not control.learned
    assert {row.function for row in control.rehearsed} == first.keys() - {"judge"}
    asked_again = len(script.asked)
    with Sandbox(lowest_tier=1) as sandbox:
        again = Loop(profile, script, Store(tmp_path), sandbox, teller)
        again.probe()
        assert again.own_answers(held, selected=True) == own
    assert len(script.asked) == asked_again


@pytest.mark.parametrize(
    ("body", "claims", "found"),
    [
        ("return [x]", ["assert f(1) == [1]", "assert f('a') == ['a']"], Found.SAME),
        ("return (x,)", ["assert f(1) == [1]"], Found.OTHER),
        ("return [x or 1]", ["assert f(1) == [1]", "assert f(0) == [0]"], Found.OTHER),
        ("return [x + 0]", ["assert f(1) == [1]", "assert f('a') == ['a']"], Found.OTHER),
        ("return [x + 0]", ["assert f('a') == ['a']", "assert f(1) == [1]"], Found.FAILED),
        ("while True: pass", ["assert f(1) == [1]"], Found.FAILED),
        # As it is served, no import is put above it.
        ("return math.sqrt(x)", ["assert f(4) == 2.0"], Found.FAILED),
        ("return frozenset([x])", ["assert f(1) == frozenset({1})"], Found.NOT_RUN),
        ("return x", ["assert f(frozenset({1})) == frozenset({1})", "assert f(2) == 2"], Found.SAME),
    ],
)
def test_an_answer_is_run_on_the_inputs_of_its_problem(body: str, claims: list[str], found: Found) -> None:
    with Sandbox(lowest_tier=1) as sandbox:
        assert confirm(written(body), claims, sandbox) is found


def written(body: str, prompt: str = "prompt") -> dataset.Example:
    return dataset.Example("f", prompt, f"```python\ndef f(x):\n    {body}\n```")


def test_each_program_of_a_prompt_is_one_answer() -> None:
    first, other = written("y = x + 1\n    return y"), written("return x + 1")
    renamed = written("z = x + 1\n    return z")
    assert different([None, first, renamed, other, None, first]) == [first, other]


def test_a_prompt_that_was_answered_rightly_rehearses_nothing() -> None:
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


def test_the_control_arm_learns_as_many_own_answers_drawn_from_all() -> None:
    every = [dataset.Example(f"f{i}", "prompt", "completion") for i in range(30)]
    own = dataset.OwnAnswers(tuple(every[:10]), tuple(every[10:]))
    drawn = own.drawn(10, 15, seed=1)
    assert (len(drawn.learned), len(drawn.rehearsed)) == (10, 15)
    assert len({*drawn.learned, *drawn.rehearsed}) == 25
    assert not set(drawn.learned) <= set(own.learned)
    assert own.drawn(10, 15, seed=1) == drawn != own.drawn(10, 15, seed=2)


def test_another_night_asks_for_more_and_finds_the_first_one_again(tmp_path: Path) -> None:
    profile = replace(TINY, task_samples=len(OPENINGS) * 16)
    teller = Teller(console=Console(quiet=True))
    asked: list[list[str]] = []
    for nights in (1, 2, 2):
        script = Script({"largest": ["max(numbers)"]})
        with Sandbox(lowest_tier=1) as sandbox:
            Loop(profile, script, Store(tmp_path), sandbox, teller, nights=nights).probe()
        asked.append(script.asked)
    turns = [[text for text in texts if text in OPENINGS] for texts in asked]
    assert turns == [list(OPENINGS), list(OPENINGS), []], "another draw of each opening, and nothing twice"
    assert len(asked[0]) > len(turns[0])
    assert asked[1] == turns[1], "the one problem is known"


def test_programs_that_differ_in_names_only_are_one() -> None:
    renamed = "def second_largest(numbers: list[int]) -> int:\n    'Doc.'\n    items = sorted(numbers)\n    return items[-2]\n"  # noqa: E501
    assert selection.normalised(ALSO) == selection.normalised(renamed) != selection.normalised(RIGHT)
    other = RIGHT.replace("second_largest", "other").replace("numbers", "xs")
    assert selection.normalised_body(other) == selection.normalised_body(RIGHT)


# --- data set -----------------------------------------------------------------------------------------------------


def test_examples_ask_in_both_forms_and_answer_shortly() -> None:
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
    assert dataset.from_jsonl(dataset.to_jsonl([sentence, stub])) == [sentence, stub]


def test_the_control_arm_is_drawn_from_all_samples_and_reproducible() -> None:
    pool = [dataset.Control(problem(), f"def f{i}(): pass\n", ("assert 1",)) for i in range(50)]
    drawn = dataset.unselected(pool, 10, seed=1)
    assert len({control.source for control in drawn}) == 10
    assert drawn == dataset.unselected(pool, 10, seed=1) != dataset.unselected(pool, 10, seed=2)
    assert len(dataset.unselected(pool, 99, seed=1)) == 50


def test_held_out_problems_are_not_trained_on() -> None:
    one = Selected(problem(), (RIGHT,), ("assert 1",), 0.9, 3, 4, 1)
    every = [replace(one, problem=replace(problem(), function=f"f{i}")) for i in range(10)]
    train, held = dataset.split(every, 0.2)
    assert (len(held), len(train)) == (2, 8)
    assert {s.problem.function for s in train}.isdisjoint({s.problem.function for s in held})


def test_namesakes_are_held_out_together() -> None:
    one = Selected(problem(), (RIGHT,), ("assert 1",), 0.9, 3, 4, 1)
    every = [
        replace(one, problem=replace(problem(), function=f"f{i}", task=f"Task {turn}."))
        for turn in range(2)
        for i in range(10)
    ]
    train, held = dataset.split(every, 0.2)
    assert len(held) == 4
    assert {s.problem.function for s in train}.isdisjoint({s.problem.function for s in held})


# --- the gate -----------------------------------------------------------------------------------------------------


def test_the_gate_accepts_only_what_is_better() -> None:
    assert compare([0.1, 0.2, 0.5], [0.3, 0.2, 0.9]).accepted
    assert not compare([0.5], [0.5]).accepted
    assert "must be better" in compare([0.5], [0.25]).reason
    assert not compare([], []).accepted
    assert "larger profile" in compare([], []).reason
