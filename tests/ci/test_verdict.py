"""The decision table, and properties that hold for any set of patches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ci.verdict import (
    CandidatePatch,
    ExitCode,
    Intent,
    Observation,
    Standing,
    Thresholds,
    Verdict,
    VerdictKind,
    cluster_patches,
    decide_verdict,
)

N = 10
BASE = tuple(Observation("ok", str(i).encode(), shown=f"f({i})") for i in range(N))
FIXED = (Observation("ok", b"fixed", shown="fixed"), *BASE[1:])
OTHER = (Observation("ok", b"other", shown="other"), *BASE[1:])
OPAQUE = (Observation("ok", b"o", comparable=False, shown="opaque"), *BASE[1:])
CRASH = tuple(Observation("exception", b"ValueError") for _ in range(N))


def plausible(form: str, behaviour: tuple[Observation, ...] = FIXED, size: int = 5) -> CandidatePatch:
    return CandidatePatch(f"{form}.patch", Standing.PLAUSIBLE, "", form, size, behaviour)


def not_plausible(standing: Standing, reason: str = "because") -> CandidatePatch:
    return CandidatePatch("x.patch", standing, reason)


def verdict(
    *candidates: CandidatePatch, intent: Intent = Intent.CHANGE, gaps: tuple[str, ...] = ()
) -> Verdict:
    return decide_verdict(candidates, BASE, intent=intent, gaps=gaps)


def test_three_distinct_patches_that_agree_are_accepted_and_the_smallest_wins() -> None:
    found = verdict(plausible("a", size=9), plausible("b", size=3), plausible("c", size=4))
    assert (found.kind, found.winner, found.exit_code) == (VerdictKind.ACCEPTED, 1, ExitCode.ACCEPTED)


def test_copies_of_one_patch_are_one_vote() -> None:
    found = verdict(*[plausible("a")] * 9, plausible("b"))
    assert found.kind is VerdictKind.ABSTAINED
    assert "2 of 2 distinct" in found.reason


def test_one_good_patch_is_not_enough() -> None:
    assert verdict(plausible("a")).kind is VerdictKind.ABSTAINED


def test_a_small_majority_is_not_enough() -> None:
    found = verdict(*(plausible(f) for f in "abc"), *(plausible(f, OTHER) for f in "xyz"))
    assert found.kind is VerdictKind.ABSTAINED
    assert "share" in found.reason


def test_a_close_second_group_is_too_close() -> None:
    """Lower the share: the default share already implies the lead."""
    votes = [*(plausible(f) for f in "abcd"), *(plausible(f, OTHER) for f in "xyz")]
    found = decide_verdict(votes, BASE, thresholds=Thresholds(share=0.5, lead=0.2))
    assert found.kind is VerdictKind.ABSTAINED
    assert "too close" in found.reason
    assert (
        decide_verdict(votes, BASE, thresholds=Thresholds(share=0.5, lead=0.1)).kind is VerdictKind.ACCEPTED
    )


def test_copies_do_not_count_in_the_share() -> None:
    found = verdict(
        plausible("a"), plausible("a"), plausible("b"), plausible("x", OTHER), plausible("x", OTHER)
    )
    assert [(group.distinct, round(group.share, 3)) for group in found.clusters] == [(2, 0.667), (1, 0.333)]


def test_the_outvoted_patch_is_noted_with_its_difference() -> None:
    found = verdict(*(plausible(f) for f in "abc"), plausible("w", OTHER))
    assert found.kind is VerdictKind.ACCEPTED
    assert "first difference: other, base: f(0)" in found.notes[3]


def test_tampering_anywhere_ends_the_run() -> None:
    found = verdict(*(plausible(f) for f in "abc"), not_plausible(Standing.TAMPERING))
    assert (found.kind, found.winner, found.exit_code) == (VerdictKind.TAMPERING, None, ExitCode.TAMPERING)


def test_a_sandbox_failure_anywhere_ends_the_run() -> None:
    found = verdict(*(plausible(f) for f in "abc"), not_plausible(Standing.INFRA))
    assert (found.kind, found.exit_code) == (VerdictKind.UNAVAILABLE, ExitCode.UNAVAILABLE)


def test_failing_and_refused_patches_are_rejected() -> None:
    assert verdict(not_plausible(Standing.FAILED)).exit_code is ExitCode.REJECTED
    assert (
        verdict(not_plausible(Standing.REFUSED), not_plausible(Standing.FAILED)).exit_code
        is ExitCode.REJECTED
    )


def test_protected_paths_need_human_review() -> None:
    assert (
        verdict(not_plausible(Standing.NEEDS_REVIEW), not_plausible(Standing.FAILED)).exit_code
        is ExitCode.ABSTAINED
    )


def test_opaque_values_are_in_no_cluster() -> None:
    assert verdict(plausible("a", OPAQUE)).kind is VerdictKind.REJECTED
    found = verdict(*(plausible(f, OPAQUE) for f in "abcd"))
    assert (found.kind, found.clusters) == (VerdictKind.REJECTED, ())


def test_agreeing_on_crashing_everywhere_is_not_consensus() -> None:
    found = verdict(*(plausible(f, CRASH) for f in "abc"))
    assert found.kind is VerdictKind.ABSTAINED
    assert "failing on every input" in found.reason


def test_unprobed_code_abstains() -> None:
    found = verdict(*(plausible(f) for f in "abc"), gaps=("shop.total",))
    assert found.kind is VerdictKind.ABSTAINED
    assert "shop.total" in found.reason


def test_few_inputs_abstain() -> None:
    found = decide_verdict([plausible(f, FIXED[:3]) for f in "abc"], BASE[:3])
    assert found.kind is VerdictKind.ABSTAINED
    assert "only 3 stable inputs" in found.reason


def test_one_patch_that_behaves_like_base_preserves_behaviour() -> None:
    found = verdict(plausible("a", BASE), intent=Intent.PRESERVE)
    assert (found.kind, found.winner) == (VerdictKind.ACCEPTED, 0)


def test_a_majority_that_changes_behaviour_is_rejected_under_preserve() -> None:
    found = verdict(*(plausible(f) for f in "abc"), intent=Intent.PRESERVE)
    assert found.kind is VerdictKind.REJECTED
    assert "fixed" in found.reason
    mixed = verdict(*(plausible(f) for f in "abc"), plausible("d", BASE), intent=Intent.PRESERVE)
    assert mixed.winner == 3


observations = st.builds(
    Observation,
    st.sampled_from(["ok", "exception", "wall"]),
    st.sampled_from([b"a", b"b"]),
    st.booleans(),
    st.just("shown"),
)
bases = st.lists(observations.filter(lambda seen: seen.comparable), max_size=4)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[CandidatePatch], list[Observation]]:
    base = draw(bases)
    candidates = draw(
        st.lists(
            st.builds(
                CandidatePatch,
                st.just("p"),
                st.sampled_from([*[Standing.PLAUSIBLE] * 6, *Standing]),
                st.just("why"),
                st.sampled_from("abcde"),
                st.integers(0, 9),
                st.tuples(*[observations] * len(base)),
            ),
            min_size=1,
            max_size=8,
        )
    )
    return candidates, base


@given(runs(), st.sampled_from(Intent), st.lists(st.just("gap"), max_size=1))
def test_an_accepted_patch_meets_every_condition(
    made: tuple[list[CandidatePatch], list[Observation]], intent: Intent, gaps: list[str]
) -> None:
    candidates, base = made
    limits = Thresholds(probes=1)
    found = decide_verdict(candidates, base, intent=intent, gaps=gaps, thresholds=limits)
    assert found.reason
    assert (found.winner is not None) == (found.kind is VerdictKind.ACCEPTED)
    if found.winner is None:
        return
    winner = candidates[found.winner]
    assert not gaps
    assert base
    assert winner.standing is Standing.PLAUSIBLE
    assert all(c.standing not in (Standing.TAMPERING, Standing.INFRA) for c in candidates)
    assert all(seen.comparable for seen in winner.behaviour)
    alike = {
        c.form
        for c in candidates
        if c.standing is Standing.PLAUSIBLE
        and all(a.agrees(b) for a, b in zip(c.behaviour, winner.behaviour, strict=True))
    }
    if intent is Intent.PRESERVE:
        assert all(a.agrees(b) for a, b in zip(winner.behaviour, base, strict=True))
    else:
        assert len(alike) >= limits.distinct
        assert any(seen.status == "ok" for seen in winner.behaviour)


@given(runs())
def test_the_order_of_patches_does_not_change_the_verdict(
    made: tuple[list[CandidatePatch], list[Observation]],
) -> None:
    candidates, base = made
    limits = Thresholds(probes=1)
    forward, backward = (
        decide_verdict(c, base, thresholds=limits).kind for c in (candidates, candidates[::-1])
    )
    assert forward == backward


@given(runs())
def test_clusters_partition_the_comparable_patches(
    made: tuple[list[CandidatePatch], list[Observation]],
) -> None:
    candidates, base = made
    members = [i for group in cluster_patches(candidates, base) for i in group.members]
    comparable = [
        i
        for i, c in enumerate(candidates)
        if c.standing is Standing.PLAUSIBLE and all(seen.comparable for seen in c.behaviour)
    ]
    assert sorted(members) == comparable
