"""Test the election.

Equal programs run once and vote each. A fallback chooses where the rule abstains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.consensus.election import (
    Ballot,
    Election,
    distinct,
    elect,
    elect_async,
    run_all,
    without_running,
)
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.rules.joint import Joint
from sandbox.inputs import ProbeSet, propose
from sandbox.limits import Limits
from sandbox.pool import Sandbox

STUB = 'def largest(items: list[int]) -> int:\n    """Return the largest item."""\n'
INPUTS = propose(STUB, "largest", budget=16)
FIRST, MAXIMUM, SORTED = "return items[0]", "return max(items)", "return sorted(items)[-1]"
LOOP = "best = items[0]\n    for item in items:\n        if item > best:\n            best = item\n    return best"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


def held(sandbox: Sandbox, *bodies: str | None, inputs: ProbeSet = INPUTS) -> Election:
    """Hold an election on a thread and again in asyncio.

    Both must decide alike.
    """
    ballots = [Ballot(None if body is None else f"{STUB}    {body}\n", -0.5) for body in bodies]
    limits, rule = Limits(), RULES[DEFAULT_RULE]
    election = elect(ballots, inputs, sandbox=sandbox, rule=rule, limits=limits)
    again = asyncio.run(elect_async(ballots, inputs, sandbox=sandbox, rule=rule, limits=limits))
    assert (again.decision, again.chosen) == (election.decision, election.chosen)
    return election


def test_the_behaviour_of_most_wins_over_the_text_of_most(sandbox: Sandbox) -> None:
    election = held(sandbox, FIRST, FIRST, MAXIMUM, SORTED, LOOP)
    assert election.by_consensus
    assert election.chosen in (2, 3, 4)
    assert set(election.decision.clusters[0].members) == {2, 3, 4}
    assert election.probes == INPUTS.probes
    assert len(INPUTS.probes) == 16


def test_a_guess_is_chosen_before_the_commonest_text(sandbox: Sandbox) -> None:
    ballots = [Ballot(f"{STUB}    {body}\n") for body in (FIRST, FIRST, MAXIMUM, SORTED, LOOP)]
    rule = Joint(least_confidence=1.0)
    election = elect(ballots, INPUTS, sandbox=sandbox, rule=rule, limits=Limits())
    assert not election.by_consensus
    assert election.chosen == election.decision.guess
    assert election.chosen in (2, 3, 4)


def test_equal_programs_run_once_and_vote_each(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    run = sandbox.run
    monkeypatch.setattr(sandbox, "run", lambda given: jobs.extend(given) or run(given))
    election = held(sandbox, MAXIMUM, MAXIMUM, "return min(items)")
    assert len(jobs) == 2
    assert election.results[0] is election.results[1]
    assert set(election.decision.clusters[0].members) == {0, 1}


def test_a_sample_without_a_program_counts_as_a_crash(sandbox: Sandbox) -> None:
    election = held(sandbox, None, MAXIMUM, MAXIMUM)
    assert election.results[0] is None
    assert election.decision.clusters[0].share == pytest.approx(2 / 3)
    assert all(0 not in cluster.members for cluster in election.decision.clusters)


def test_candidates_that_only_crash_are_an_abstention_and_the_fallback_chooses(sandbox: Sandbox) -> None:
    election = held(sandbox, "return undefined_name", "raise SystemExit", "return [][0]")
    assert not election.by_consensus
    assert election.decision.reason
    assert election.chosen == 0


@pytest.mark.parametrize(
    ("bodies", "inputs", "reason"),
    [((MAXIMUM,), ProbeSet(), "no inputs"), ((None, None), INPUTS, "no candidate parses"), ((), INPUTS, "parses")],
)  # fmt: skip
def test_nothing_to_run_is_an_abstention_with_its_reason(
    sandbox: Sandbox, bodies: tuple[str | None, ...], inputs: ProbeSet, reason: str
) -> None:
    election = held(sandbox, *bodies, inputs=inputs)
    assert reason in election.decision.reason
    assert election.chosen == (0 if bodies else None)
    assert election.results == ()


def test_the_fallback_takes_what_ran_before_what_only_looks_good(sandbox: Sandbox) -> None:
    contradicted = propose(STUB.replace("item.", "item.\n\n    >>> largest([1, 2])\n    99\n    "), "largest")
    assert contradicted.constraints
    ballots = [
        Ballot(f"{STUB}    return missing\n", -0.1, progress=9),
        Ballot(f"{STUB}    return max(items)\n", -0.9),
    ]
    election = elect(ballots, contradicted, sandbox=sandbox, rule=RULES[DEFAULT_RULE], limits=Limits())
    assert "example of the docstring" in election.decision.reason
    assert (election.by_consensus, election.chosen) == (False, 1)


@given(st.lists(st.builds(Ballot, st.sampled_from(["a", "b", "", None]), st.floats(-9, 0), progress=st.integers(0, 2)), max_size=9))  # fmt: skip  # noqa: E501
def test_without_running_the_furthest_then_commonest_then_most_fluent_is_chosen(
    ballots: list[Ballot],
) -> None:
    election = without_running(ballots, "why")
    assert (election.chosen is None) == (not ballots)
    assert (election.by_consensus, election.decision.reason) == (False, "why")
    if election.chosen is not None:
        texts = [ballot.text for ballot in ballots]
        keys = [(b.progress, texts.count(b.text), b.log_probability) for b in ballots]
        assert keys[election.chosen] == max(keys)


@given(st.lists(st.one_of(st.none(), st.text(max_size=2))))
def test_distinct_keeps_each_program_once_in_order(programs: list[str | None]) -> None:
    found = distinct(programs)
    assert sorted(found) == sorted({program for program in programs if program})
    positions = [programs.index(program) for program in found]
    assert positions == sorted(positions)


def test_results_come_back_in_the_order_of_the_samples(sandbox: Sandbox) -> None:
    programs = [f"{STUB}    {body}\n" for body in (FIRST, MAXIMUM, FIRST)]
    first, most, again = run_all(
        [*programs[:2], programs[2]], INPUTS.probes, sandbox=sandbox, limits=Limits()
    )
    assert first is again
    assert first is not None
    assert most is not None
    assert first.outcomes != most.outcomes
