"""Decide the verdict, with its reason, from what each patch showed.

No I/O, no clock. The rule (docs/gate.md describes it for users):

1. A sandbox failure or tampering anywhere ends the run: nothing is accepted beside it.
2. Patches that parsed, passed every test and change no protected path are *plausible*. A patch with an opaque
   or unstable value where base gives stable data is in no cluster: such a value equals nothing.
3. Each distinct plausible patch (by normal form) is one vote. Those that behave alike on every probe are a
   cluster.
4. `change` (the default): the largest cluster is accepted with at least three votes, a share of at least 0.6
   and a lead of at least 0.2. Fewer votes never suffice.
5. `preserve` (the patches claim to change no behaviour): base is the oracle for every input. One patch that
   equals base on all of them suffices. One that differs is rejected with the input that shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Standing(StrEnum):
    """The state of one patch after the checks of it alone."""

    PLAUSIBLE = "plausible"
    REFUSED = "refused"
    NEEDS_REVIEW = "needs-person"
    FAILED = "failed"
    TAMPERING = "tampering"
    INFRA = "infra"


class VerdictKind(StrEnum):
    """The kind of verdict that a run ends with."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ABSTAINED = "abstained"
    UNAVAILABLE = "unavailable"
    TAMPERING = "tampering"


class ExitCode(IntEnum):
    """The exit code of the process; only ACCEPTED may merge."""

    ACCEPTED = 0
    REJECTED = 1
    USAGE = 2
    ABSTAINED = 3
    UNAVAILABLE = 4
    TAMPERING = 5


class Intent(StrEnum):
    """The purpose of the patches.

    To change behaviour (a fix, a feature), or to preserve it (a refactoring).
    """

    CHANGE = "change"
    PRESERVE = "preserve"


@dataclass(frozen=True, slots=True)
class Observation:
    """The behaviour of one program on one probe, compared as a whole.

    `comparable` is False for an opaque or unstable value: such an observation agrees with nothing.
    """

    status: str
    value: bytes = b""
    comparable: bool = True
    shown: str = ""
    """Text for reports; not compared."""

    def agrees(self, other: Observation) -> bool:
        return (
            self.comparable and other.comparable and (self.status, self.value) == (other.status, other.value)
        )


@dataclass(frozen=True, slots=True)
class CandidatePatch:
    """The facts about one patch that the verdict depends on."""

    name: str
    standing: Standing
    reason: str = ""
    """One clause: why the patch is not plausible."""
    form: str = ""
    """Hash of the normal form: patches with equal forms are one vote."""
    size: int = 0
    """Changed lines: the smallest of the winning cluster is chosen."""
    behaviour: tuple[Observation, ...] = ()
    """One observation per probe, for plausible patches."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits for accepting a cluster under `Intent.CHANGE`; shares in [0, 1].

    Reasons: docs/decisions.md, "At least three distinct patches must agree".
    """

    distinct: int = 3
    """Fewest votes."""
    share: float = 0.6
    lead: float = 0.2
    """Smallest difference from the share of the next cluster."""
    probes: int = 8
    """Fewest stable inputs, under either intent."""


@dataclass(frozen=True, slots=True)
class PatchCluster:
    """Plausible patches that behave alike, smallest first."""

    members: tuple[int, ...]
    distinct: int
    """Votes: members with different normal forms."""
    share: float
    """Votes of this cluster among all votes, in [0, 1]."""
    equals_base: int
    """Number of probes on which it behaves like base."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with its reason; `winner` is set exactly when accepted."""

    kind: VerdictKind
    reason: str
    winner: int | None = None
    clusters: tuple[PatchCluster, ...] = ()
    notes: dict[int, str] = field(default_factory=dict)
    """By index of a plausible patch: its behaviour compared with base."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode[self.kind.name]


def decide_verdict(
    candidates: Sequence[CandidatePatch],
    base: Sequence[Observation],
    *,
    intent: Intent = Intent.CHANGE,
    gaps: Sequence[str] = (),
    thresholds: Thresholds = Thresholds(),
) -> Verdict:
    """Decide the verdict on `candidates`.

    `base[j]` is the base commit's observation on probe j; every plausible patch has one for each probe too.
    `gaps` names changed code that no probe reached: any gap leads to an abstention.
    """
    stop = _stopped(candidates)
    if stop is not None:
        return stop
    compared = [i for i, candidate in enumerate(candidates) if candidate.standing is Standing.PLAUSIBLE]
    clusters = cluster_patches(candidates, base)
    notes = {i: _note(candidates[i], base) for i in compared}
    if not compared:
        return _none_plausible(candidates)
    if gaps or len(base) < thresholds.probes:
        what = (
            f"no usable input was found for {', '.join(gaps[:3])}"
            if gaps
            else f"only {len(base)} stable inputs were found (at least {thresholds.probes} are needed)"
        )
        hint = "add type annotations or a doctest to the changed functions, or review the patches by hand"
        return Verdict(
            VerdictKind.ABSTAINED, f"behaviour could not be compared: {what}; {hint}", None, clusters, notes
        )
    if not clusters:
        first = compared[0]
        return Verdict(VerdictKind.REJECTED, f"{candidates[first].name} is {notes[first]}", None, (), notes)
    if intent is Intent.PRESERVE:
        return _preserved(candidates, base, clusters, notes)
    return _voted(candidates, clusters, notes, thresholds)


def cluster_patches(
    candidates: Sequence[CandidatePatch], base: Sequence[Observation]
) -> tuple[PatchCluster, ...]:
    """Group plausible patches by behaviour.

    Most votes come first, then the smallest diff, then the order given. A patch with an opaque or unstable
    value is in no group.
    """
    # Not the signature of `sandbox.consensus`: there a crash never counts as agreement, and copies are weighed
    # by text. Here the exception type and the printed text are behaviour, and votes are normal forms.
    groups: dict[tuple[tuple[str, bytes], ...], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate.standing is Standing.PLAUSIBLE and all(seen.comparable for seen in candidate.behaviour):
            behaviour = tuple((seen.status, seen.value) for seen in candidate.behaviour)
            groups.setdefault(behaviour, []).append(index)
    n_votes = len({candidates[i].form for members in groups.values() for i in members})
    found = []
    for members in groups.values():
        members.sort(key=lambda i: (candidates[i].size, i))
        forms = {candidates[i].form for i in members}
        observed = candidates[members[0]].behaviour
        equal = sum(seen.agrees(known) for seen, known in zip(observed, base, strict=True))
        found.append(PatchCluster(tuple(members), len(forms), len(forms) / n_votes, equal))
    return tuple(sorted(found, key=lambda c: (-c.distinct, candidates[c.members[0]].size, c.members[0])))


def _stopped(candidates: Sequence[CandidatePatch]) -> Verdict | None:
    """The verdict when any patch tampered or met a sandbox failure.

    Nothing is accepted beside it.
    """
    for standing, kind in (
        (Standing.TAMPERING, VerdictKind.TAMPERING),
        (Standing.INFRA, VerdictKind.UNAVAILABLE),
    ):
        found = [candidate for candidate in candidates if candidate.standing is standing]
        if found:
            return Verdict(kind, f"{found[0].name}: {found[0].reason}")
    return None


def _none_plausible(candidates: Sequence[CandidatePatch]) -> Verdict:
    counts = Counter(candidate.standing for candidate in candidates)
    if counts[Standing.NEEDS_REVIEW]:
        first = next(c for c in candidates if c.standing is Standing.NEEDS_REVIEW)
        return Verdict(VerdictKind.ABSTAINED, f"{first.name} needs human review: it {first.reason}")
    if len(candidates) == 1:
        return Verdict(VerdictKind.REJECTED, f"{candidates[0].name}: {candidates[0].reason}")
    standings = ", ".join(f"{count} {standing}" for standing, count in sorted(counts.items()))
    return Verdict(
        VerdictKind.REJECTED,
        f"no patch is plausible ({standings}); {candidates[0].name}: {candidates[0].reason}",
    )


def _preserved(
    candidates: Sequence[CandidatePatch],
    base: Sequence[Observation],
    clusters: tuple[PatchCluster, ...],
    notes: dict[int, str],
) -> Verdict:
    for group in clusters:
        if group.equals_base == len(base):
            best = group.members[0]
            reason = (
                f"behaves like base on all {len(base)} inputs, as claimed, and is the smallest such patch"
            )
            return Verdict(VerdictKind.ACCEPTED, f"{candidates[best].name} {reason}", best, clusters, notes)
    first = clusters[0].members[0]
    return Verdict(
        VerdictKind.REJECTED,
        f"{candidates[first].name} changes behaviour: {notes[first]}",
        None,
        clusters,
        notes,
    )


def _voted(
    candidates: Sequence[CandidatePatch],
    clusters: tuple[PatchCluster, ...],
    notes: dict[int, str],
    thresholds: Thresholds,
) -> Verdict:
    best = clusters[0]
    rival = clusters[1].share if len(clusters) > 1 else 0.0
    n_votes = sum(group.distinct for group in clusters)
    votes = (
        f"{best.distinct} of {n_votes} distinct plausible patches behave alike"
        if n_votes > 1
        else "there is one distinct plausible patch"
    )
    works = any(seen.status == "ok" for seen in candidates[best.members[0]].behaviour)
    problem = ""
    if best.distinct < thresholds.distinct:
        problem = f"{votes}, and at least {thresholds.distinct} are needed"
    elif best.share < thresholds.share:
        problem = f"{votes}: a share of {best.share:.2f}, and {thresholds.share} is needed"
    elif best.share - rival < thresholds.lead:
        problem = f"{votes}, but the next group is too close (a lead of {thresholds.lead} is needed)"
    elif not works:
        problem = f"{votes}, but only by failing on every input"
    if problem:
        return Verdict(VerdictKind.ABSTAINED, problem, None, clusters, notes)
    winner = best.members[0]
    reason = f"{votes}; {candidates[winner].name} is the smallest of them"
    return Verdict(VerdictKind.ACCEPTED, reason, winner, clusters, notes)


def _note(candidate: CandidatePatch, base: Sequence[Observation]) -> str:
    """Describe for a reviewer where one plausible patch differs from base."""
    pairs = list(zip(candidate.behaviour, base, strict=True))
    opaque = sum(not seen.comparable for seen, _ in pairs)
    equal = sum(seen.agrees(known) for seen, known in pairs)
    if equal == len(pairs):
        return f"like base on all {len(pairs)} inputs"
    note = f"like base on {equal} of {len(pairs)} inputs"
    if opaque:
        note += f"; on {opaque} its value is not plain data or not stable, unlike base's"
    differing = next(((seen, known) for seen, known in pairs if not seen.agrees(known)), None)
    if differing is not None:
        note += f"; first difference: {differing[0].shown}, base: {differing[1].shown}"
    return note
