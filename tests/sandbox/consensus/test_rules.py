"""Test that rules decide on any evidence, as their papers define."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.rules.joint import Joint
from sandbox.consensus.types import Decision, Evidence
from sandbox.outcome import Outcome, Status
from sandbox.program import Vote
from sandbox.values import Value

CRASH = Outcome(Status.EXCEPTION, exception="ValueError")
SANDBOX_FAILED = Outcome(Status.INFRA)


def ok(value: object, stdout: str = "") -> Outcome:
    return Outcome(Status.OK, Value.of(value), stdout=stdout)


OPAQUE = Outcome(Status.OK, Value.of(object()))


def evidence(
    rows: list[list[Outcome]],
    asserts: list[tuple[int, object]] | None = None,
    constraints: list[tuple[int, object]] | None = None,
    log_probabilities: list[float] | None = None,
    sources: list[str] | None = None,
) -> Evidence:
    return Evidence(
        outcomes=tuple(tuple(row) for row in rows),
        sources=tuple(sources or [f"source {i}" for i in range(len(rows))]),
        log_probabilities=tuple(log_probabilities or [-0.1] * len(rows)),
        asserts=tuple(Vote(p, Value.of(v)) for p, v in asserts or ()),
        constraints=tuple(Vote(p, Value.of(v)) for p, v in constraints or ()),
    )


def recursive() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


ODD_EVIDENCE = {
    "no candidates": evidence([]),
    "no candidates but votes": evidence([], asserts=[(0, 1)]),
    "one candidate": evidence([[ok(1)]]),
    "one candidate, no probes": evidence([[]]),
    "no probes": evidence([[], [], []]),
    "all crash": evidence([[CRASH] * 3] * 4, asserts=[(0, 1)]),
    "all opaque": evidence([[OPAQUE] * 2] * 3),
    "sandbox failed": evidence([[SANDBOX_FAILED] * 2] * 3),
    "crash and opaque and failed": evidence([[CRASH], [OPAQUE], [SANDBOX_FAILED]]),
    "contradictory asserts": evidence([[ok(1)], [ok(2)]], asserts=[(0, 1), (0, 2), (0, 3)]),
    "contradictory constraints": evidence([[ok(1)], [ok(2)]], constraints=[(0, 1), (0, 2)]),
    "constraint that no candidate passes": evidence([[ok(1)], [ok(1)]], constraints=[(0, 7)]),
    "votes for probes that do not exist": evidence([[ok(1)]], asserts=[(5, 1), (-1, 1)]),
    "nan": evidence([[ok(math.nan)], [ok(math.nan)], [ok(1.0)]], asserts=[(0, math.nan)]),
    "nan log-probabilities": evidence([[ok(1)], [ok(2)]], log_probabilities=[math.nan, math.nan]),
    "infinite log-probabilities": evidence([[ok(1)], [ok(2)]], log_probabilities=[-math.inf, math.inf]),
    "recursive": evidence([[ok(recursive())], [ok(recursive())]], asserts=[(0, 1)]),
    "huge numbers": evidence([[ok(10**400)], [ok(-(10**400))]], asserts=[(0, 10**400), (0, 1e308)]),
    "expected value is opaque": evidence([[ok(1)]], asserts=[(0, object())]),
    "empty sources": evidence([[ok(1)], [ok(1)]], sources=["", ""]),
}


def check(decision: Decision, of: Evidence) -> None:
    """Check the contract of any decision."""
    members = [i for cluster in decision.clusters for i in cluster.members]
    assert len(members) == len(set(members)), "a candidate is in at most one cluster"
    assert set(members) <= set(range(len(of.outcomes)))
    assert 0.0 <= decision.confidence <= 1.0
    assert decision.reason
    assert decision.reason.endswith(".")
    if decision.winner is None:
        assert decision.confidence == 0.0
    else:
        assert decision.winner == decision.clusters[0].members[0]
    for cluster in decision.clusters:
        assert cluster.share == pytest.approx(len(cluster.members) / len(of.outcomes))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
@pytest.mark.parametrize("case", ODD_EVIDENCE)
def test_odd_evidence_gives_a_decision(rule, case):
    check(rule.decide(ODD_EVIDENCE[case]), ODD_EVIDENCE[case])


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
@pytest.mark.parametrize("case", ["no candidates", "all crash", "all opaque", "sandbox failed"])
def test_nothing_to_choose_from_is_an_abstention(rule, case):
    assert rule.decide(ODD_EVIDENCE[case]).winner is None


OUTCOMES = st.one_of(
    st.sampled_from([CRASH, OPAQUE, SANDBOX_FAILED, Outcome(Status.WALL), ok(None), ok(None, stdout="x\n")]),
    st.one_of(
        st.integers(-2, 2),
        st.booleans(),
        st.floats(),
        st.text(max_size=2),
        st.lists(st.integers(0, 1), max_size=2),
    ).map(ok),
)


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    n, m = draw(st.integers(0, 6)), draw(st.integers(0, 4))
    votes = st.lists(st.tuples(st.integers(-1, m), st.integers(-1, 2)), max_size=6)
    return evidence(
        [[draw(OUTCOMES) for _ in range(m)] for _ in range(n)],
        draw(votes),
        draw(votes),
        [draw(st.floats()) for _ in range(n)],
        [draw(st.sampled_from(["a", "b", " a  # c", ""])) for _ in range(n)],
    )


@settings(max_examples=60)
@given(any_evidence())
def test_every_rule_decides_on_any_evidence(any_of: Evidence):
    for rule in RULES.values():
        check(rule.decide(any_of), any_of)


@settings(max_examples=40)
@given(any_evidence(), st.randoms(use_true_random=False))
def test_default_rule_does_not_depend_on_the_order_of_candidates(any_of: Evidence, random):
    order = list(range(len(any_of.outcomes)))
    random.shuffle(order)
    shuffled = Evidence(
        tuple(any_of.outcomes[i] for i in order),
        tuple(any_of.sources[i] for i in order),
        tuple(any_of.log_probabilities[i] for i in order),
        any_of.asserts,
        any_of.constraints,
    )
    rule = RULES[DEFAULT_RULE]
    before, after = rule.decide(any_of), rule.decide(shuffled)
    assert (before.winner is None) == (after.winner is None)
    assert before.confidence == pytest.approx(after.confidence)
    assert sorted(cluster.score for cluster in before.clusters) == pytest.approx(
        sorted(cluster.score for cluster in after.clusters)
    )


def test_ucoder_filters_by_crashes_not_by_passing():
    rows = [[ok(1), ok(1), ok(1), ok(1), CRASH]] * 3 + [[ok(9)] * 5] * 2
    of = evidence(rows, asserts=[(p, 1) for p in range(5)])
    assert RULES["ucoder"].decide(of).winner == 0, "e(r) = 0.8 is enough"
    worse = evidence(
        [[ok(1), ok(1), ok(1), CRASH, CRASH]] * 3 + [[ok(9)] * 5] * 2, asserts=[(p, 1) for p in range(5)]
    )
    assert RULES["ucoder"].decide(worse).winner == 3, "e(r) = 0.6 is not"


def test_ucoder_merges_all_candidates_that_pass_nothing():
    rows = [[ok(7)], [ok(8)], [ok(9)], [ok(1)], [ok(1)]]
    decision = RULES["ucoder"].decide(evidence(rows, asserts=[(0, 1)]))
    assert decision.winner in (0, 1, 2)
    assert len(decision.clusters[0].members) == 3


def test_ucoder_breaks_ties_by_execution_success_then_perplexity():
    rows = [[ok(7), ok(0)], [ok(8), ok(0)], [ok(9), ok(0)]]
    of = evidence(rows, asserts=[(0, 1)], log_probabilities=[-0.3, -0.01, -0.2])
    assert RULES["ucoder"].decide(of).winner == 1


def test_ucoder_counts_crashes_on_inputs_without_an_expected_value():
    rows = [[ok(1), CRASH]] * 3 + [[ok(9), ok(9)]] * 2
    assert RULES["ucoder"].decide(evidence(rows, asserts=[(0, 1)])).winner == 3


def test_ucoder_has_no_signature_without_tests():
    decision = RULES["ucoder"].decide(evidence([[ok(1)]] * 3))
    assert decision.winner is None
    assert "no tests" in decision.reason


def test_codet_weighs_size_against_tests_passed():
    rows = [[ok(1), ok(2)]] * 2 + [[ok(1), ok(0)]] * 5
    decision = RULES["codet"].decide(evidence(rows, asserts=[(0, 1), (1, 2)]))
    assert decision.clusters[0].score == pytest.approx(2 * math.sqrt(2))
    assert decision.winner == 0


def test_b4_prefers_the_cluster_whose_tests_others_fail():
    rows = [[ok(1), ok(2), ok(3)]] * 4 + [[ok(0), ok(0), ok(0)], [ok(5), ok(0), ok(0)], [ok(6), ok(7), ok(0)]]
    assert RULES["b4"].decide(evidence(rows, asserts=[(0, 1), (1, 2), (2, 3), (2, 9)])).winner == 0


def test_soft_vote_finds_the_centre():
    rows = [[ok(1), ok(1), ok(9)], [ok(1), ok(1), ok(1)], [ok(8), ok(1), ok(1)], [ok(5), ok(6), ok(7)]]
    assert RULES["soft-vote"].decide(evidence(rows)).winner == 1


def test_output_hash_separates_outputs_that_asserts_do_not():
    rows = [[ok(7)], [ok(8)], [ok(9)], [ok(1)], [ok(1)]]
    assert RULES["output-hash"].decide(evidence(rows, asserts=[(0, 3)])).winner == 3


def test_lowest_perplexity_and_success_rate():
    of = evidence([[ok(1)], [ok(2)], [CRASH]], asserts=[(0, 1)], log_probabilities=[-0.5, -0.2, -0.1])
    assert RULES["lowest-perplexity"].decide(of).winner == 1, "the crashing candidate has no vote"
    assert RULES["success-rate"].decide(of).winner == 0
    assert RULES["random-passing"].decide(of).winner == 0


def test_a_crash_is_not_a_vote_for_the_default_rule():
    rows = [[CRASH, CRASH]] * 6 + [[ok(1), ok(2)]] * 2
    assert RULES[DEFAULT_RULE].decide(evidence(rows)).winner in (6, 7)


def test_the_authors_example_outweighs_a_majority():
    rows = [[ok(0), ok(5)]] * 3 + [[ok(1), ok(5)]]
    assert RULES[DEFAULT_RULE].decide(evidence(rows, constraints=[(0, 1)])).winner == 3


def test_an_example_outweighs_everything_else_together():
    """Let one stub pass the example, and a hundred others all asserts."""
    rows = [[ok(0), *(ok(p) for p in range(20))]] * 100 + [[ok(1)] * 21]
    sources = [f"text {i} " + "x" * 2000 + "\nreturn x" for i in range(100)] + ["stub"]
    asserts = [(p + 1, p) for p in range(20)]
    of = evidence(rows, asserts, constraints=[(0, 1)], sources=sources)
    assert RULES[DEFAULT_RULE].decide(of).winner == 100


def test_agreement_against_the_only_example_is_not_a_consensus():
    rows = [[ok(0), ok(5)]] * 5 + [[ok(2), ok(5)]] * 2
    found = RULES[DEFAULT_RULE].decide(evidence(rows, constraints=[(0, 1)]))
    assert (found.winner, found.confidence) == (None, 0.0)
    assert found.reason == "No candidate passes an example of the docstring."
    assert [cluster.share for cluster in found.clusters] == [5 / 7, 2 / 7], "the clusters are still reported"


def test_too_little_confidence_leaves_a_guess():
    rows = [[ok(1), ok(2)]] * 3 + [[ok(3), ok(4)]] * 2
    sure = RULES[DEFAULT_RULE].decide(evidence(rows))
    unsure = Joint(least_confidence=sure.confidence + 0.01).decide(evidence(rows))
    assert (unsure.winner, unsure.guess, unsure.best) == (None, sure.winner, sure.winner)
    assert (unsure.clusters, unsure.confidence) == (sure.clusters, sure.confidence)
    assert unsure.reason == f"Too little speaks for the best candidate: {sure.reason}"
    assert Joint(least_confidence=sure.confidence).decide(evidence(rows)) == sure


def test_passing_one_of_two_examples_is_enough_to_be_chosen():
    """Choose such a candidate, because the other example may be wrong."""
    rows = [[ok(0), ok(5)]] * 5 + [[ok(2), ok(6)]]
    assert RULES[DEFAULT_RULE].decide(evidence(rows, constraints=[(0, 1), (1, 6)])).winner == 5


def test_an_assert_counts_as_python_compares():
    rows = [[ok(True)], [ok(2)]]
    assert RULES["success-rate"].decide(evidence(rows, asserts=[(0, 1.0)])).winner == 0


def test_a_kept_example_outweighs_crashes_on_the_other_inputs():
    rows = [[ok(1), *[CRASH] * 15]] * 3
    kept = RULES[DEFAULT_RULE].decide(evidence(rows, constraints=[(0, 1)]))
    assert kept.winner is not None
    assert RULES[DEFAULT_RULE].decide(evidence(rows)).winner is None


def test_one_candidate_that_nobody_behaves_like_is_a_guess():
    rows = [[ok(1), ok(2)], [CRASH, CRASH], [CRASH, CRASH]]
    alone = Joint(least_alike=2).decide(evidence(rows, constraints=[(0, 1)]))
    assert (alone.winner, alone.guess) == (None, 0)
    assert Joint(least_alike=2).decide(evidence([*rows, rows[0]], constraints=[(0, 1)])).winner in (0, 3)
