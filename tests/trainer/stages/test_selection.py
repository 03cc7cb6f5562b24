"""Consensus selects solutions, or drops a problem with a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sandbox.consensus.election import run_all
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.inputs import ProbeSet
from sandbox.pool import Sandbox
from sandbox.program import Call
from tests.trainer.scripted_model import TINY
from tests.trainer.second_largest import ALSO, RIGHT, problem
from trainer.profile import Profile
from trainer.run.records import from_plain, to_plain
from trainer.stages import selection
from trainer.stages.selection import Consensus, Dropped, Examined
from trainer.stages.solutions import Solution
from trainer.stages.tests import probes_for

FIRST = "def second_largest(numbers: list[int]) -> int:\n    return numbers[0]\n"
ZERO = "def second_largest(numbers: list[int]) -> int:\n    return 0\n"
HUGE = "def second_largest(numbers: list[int]) -> int:\n    return 10**5000 + sorted(numbers)[-2]\n"


def examine(*sources: str | None, profile: Profile = TINY) -> Consensus | Dropped:
    solutions = [Solution(source, -0.5) for source in sources]
    inputs = probes_for(problem(), ["assert second_largest([3, 1, 2]) == 2"], TINY)
    with Sandbox(lowest_tier=1) as sandbox:
        election = selection.hold_election(solutions, inputs, sandbox, RULES[DEFAULT_RULE])
    return selection.outcome_of(solutions, election, inputs, profile)


def test_consensus_selects_different_programs_of_one_behaviour() -> None:
    found = examine(RIGHT, ALSO, RIGHT, FIRST, None)
    assert isinstance(found, Consensus)
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
def test_the_most_telling_assert_comes_first(
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
def test_a_problem_without_consensus_is_dropped_with_its_reason(
    sources: tuple[str | None, ...], reason: str
) -> None:
    found = examine(*sources)
    assert isinstance(found, Dropped)
    assert reason in found.reason


def test_a_predicate_with_both_values_is_not_constant() -> None:
    even = "def second_largest(numbers: list[int]) -> bool:\n    return len(numbers) {} 3\n"
    assert isinstance(examine(*[even.format(">")] * 3), Consensus)
    never = examine(*[even.format("< 0 *")] * 3)
    assert isinstance(never, Dropped)
    assert "constant" in never.reason


def test_a_consensus_of_low_confidence_is_dropped() -> None:
    votes = (RIGHT, RIGHT, ALSO, FIRST, ZERO)
    sure = examine(*votes)
    assert isinstance(sure, Consensus)
    found = examine(*votes, profile=replace(TINY, min_confidence=sure.confidence + 0.01))
    assert isinstance(found, Dropped)
    assert "likely to be wrong" in found.reason


def test_a_later_round_with_twice_the_samples_needs_twice_the_cluster() -> None:
    def vote(agreeing: int) -> Consensus | Dropped:
        others = [FIRST.replace("[0]", f"[0] + {n}") for n in range(2 * TINY.solutions - agreeing)]
        return examine(*[RIGHT] * agreeing, *others)

    few = vote(2 * TINY.min_cluster - 1)
    assert isinstance(few, Dropped)
    assert "behave alike" in few.reason
    assert isinstance(vote(2 * TINY.min_cluster), Consensus)


def test_programs_that_differ_only_in_local_names_are_equal() -> None:
    renamed = "def second_largest(numbers: list[int]) -> int:\n    'Doc.'\n    items = sorted(numbers)\n    return items[-2]\n"  # noqa: E501
    assert selection.normalised(ALSO) == selection.normalised(renamed) != selection.normalised(RIGHT)
    other = RIGHT.replace("second_largest", "other").replace("numbers", "xs")
    assert selection.normalised_body(other) == selection.normalised_body(RIGHT)


def test_a_shard_of_this_release_is_read() -> None:
    winner = {
        "sources": [RIGHT], "asserts": ["assert 1 == 1"], "confidence": 0.5, "cluster": 3, "n": 4, "clusters": 2,
    }  # fmt: skip
    rest = {"own_asserts": [["assert 1 == 1"], []], "claims": ["assert 1 == 1"], "alike": 3}
    found = from_plain({"outcome": winner, **rest}, Examined)
    assert found.outcome == Consensus((RIGHT,), ("assert 1 == 1",), 0.5, 3, 4, 2)
    assert found.own_asserts == (("assert 1 == 1",), ())
    assert json.loads(json.dumps(to_plain(found))) == {"outcome": winner, **rest}
    assert from_plain({"outcome": {"reason": "none"}, **rest}, Examined).outcome == Dropped("none")
