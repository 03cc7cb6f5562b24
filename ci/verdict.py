"""The decision, as a function of data: what each patch showed goes in, the verdict and its reason come out.

No I/O, no clock. The rule (docs/gate.md tells it to users):

1. A sandbox failure or tampering anywhere ends the run: nothing is accepted beside it.
2. Patches that parsed, passed every test and change no protected path are *plausible*. One that gives an
   opaque or unstable value where base gives stable data is not: such a value equals nothing.
3. Distinct plausible patches (by normal form) are the votes; those that behave alike on every probe are a
   cluster.
4. `change` (the default): the largest cluster is accepted with at least three votes, a share of at least 0.6
   and a lead of at least 0.2. Fewer votes never suffice, however good one patch looks.
5. `preserve` (the patches claim to change no behaviour): base is the oracle for every input, so one patch
   that equals base on all of them suffices; one that differs is rejected with the input that shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Standing(StrEnum):
    """How one patch stands after the checks that look at it alone."""

    PLAUSIBLE = "plausible"
    REFUSED = "refused"
    NEEDS_PERSON = "needs-person"
    FAILED = "failed"
    TAMPERING = "tampering"
    INFRA = "infra"


class Kind(StrEnum):
    """The verdict of a run."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ABSTAINED = "abstained"
    UNAVAILABLE = "unavailable"
    TAMPERING = "tampering"


class ExitCode(IntEnum):
    """What the process says; only ACCEPTED may merge."""

    ACCEPTED = 0
    REJECTED = 1
    USAGE = 2
    ABSTAINED = 3
    UNAVAILABLE = 4
    TAMPERING = 5


class Intent(StrEnum):
    """What the patches are for: to change behaviour (a fix, a feature), or to preserve it (a refactoring)."""

    CHANGE = "change"
    PRESERVE = "preserve"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one program did on one probe, in a form that is compared as a whole.

    `comparable` is False for an opaque or unstable value: such an observation agrees with nothing.
    """

    status: str
    value: bytes = b""
    comparable: bool = True
    shown: str = ""
    """For people; not compared."""

    def agrees(self, other: Observation) -> bool:
        return (
            self.comparable and other.comparable and (self.status, self.value) == (other.status, other.value)
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of one patch."""

    name: str
    standing: Standing
    reason: str = ""
    """One clause for a person: why it is not plausible."""
    form: str = ""
    """Normal form: candidates with equal forms are one vote."""
    size: int = 0
    """Changed lines: the smallest of the winning cluster is chosen."""
    behaviour: tuple[Observation, ...] = ()
    """One observation a probe, for plausible candidates."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Evidence: a cluster of at least 3 distinct patches, share >= 0.6, lead >= 0.2."""

    distinct: int = 3
    share: float = 0.6
    lead: float = 0.2
    probes: int = 8
    """Fewest stable inputs on which agreement means anything."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Plausible patches that behave alike, smallest first."""

    members: tuple[int, ...]
    distinct: int
    """Votes: members with different normal forms."""
    share: float
    """Votes of this cluster among all votes, in [0, 1]."""
    equals_base: int
    """On how many probes its behaviour is base's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with its reason; `winner` is set exactly when accepted."""

    kind: Kind
    reason: str
    winner: int | None = None
    clusters: tuple[Cluster, ...] = ()
    notes: dict[int, str] = field(default_factory=dict)
    """What the comparison of behaviours says about single candidates."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode[self.kind.name]


def decide(
    candidates: Sequence[Candidate],
    base: Sequence[Observation],
    *,
    intent: Intent = Intent.CHANGE,
    gaps: Sequence[str] = (),
    thresholds: Thresholds = Thresholds(),
) -> Verdict:
    """The verdict on `candidates`.

    `base[j]` is the base commit's observation on probe j, and every plausible candidate has one for each too.
    `gaps` names changed code that no probe reached: where there is any, behaviour is not known well enough.
    """
    stop = _stopped(candidates)
    if stop is not None:
        return stop
    compared = [i for i, candidate in enumerate(candidates) if candidate.standing is Standing.PLAUSIBLE]
    clusters = cluster(candidates, base)
    notes = {i: _note(candidates[i], base) for i in compared}
    if not compared:
        return _nobody(candidates)
    if gaps or len(base) < thresholds.probes:
        what = (
            f"no usable input was found for {', '.join(gaps[:3])}"
            if gaps
            else f"only {len(base)} stable inputs were found (at least {thresholds.probes} are needed)"
        )
        hint = "add type annotations or a doctest to the changed functions, or let a person decide"
        return Verdict(
            Kind.ABSTAINED, f"behaviour could not be compared: {what}; {hint}", None, clusters, notes
        )
    if not clusters:
        first = compared[0]
        return Verdict(Kind.REJECTED, f"{candidates[first].name} is {notes[first]}", None, (), notes)
    if intent is Intent.PRESERVE:
        return _preserved(candidates, base, clusters, notes)
    return _voted(candidates, clusters, notes, thresholds)


def cluster(candidates: Sequence[Candidate], base: Sequence[Observation]) -> tuple[Cluster, ...]:
    """Group plausible candidates by behaviour: most votes first, then smallest diff, then order given.

    A candidate with an opaque or unstable value is in none.
    """
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
        found.append(Cluster(tuple(members), len(forms), len(forms) / n_votes, equal))
    return tuple(sorted(found, key=lambda c: (-c.distinct, candidates[c.members[0]].size, c.members[0])))


def _stopped(candidates: Sequence[Candidate]) -> Verdict | None:
    """Tampering or a sandbox failure anywhere: the run is not a basis for accepting anything."""
    for standing, kind in ((Standing.TAMPERING, Kind.TAMPERING), (Standing.INFRA, Kind.UNAVAILABLE)):
        found = [candidate for candidate in candidates if candidate.standing is standing]
        if found:
            return Verdict(kind, f"{found[0].name}: {found[0].reason}")
    return None


def _nobody(candidates: Sequence[Candidate]) -> Verdict:
    counts = Counter(candidate.standing for candidate in candidates)
    if counts[Standing.NEEDS_PERSON]:
        first = next(c for c in candidates if c.standing is Standing.NEEDS_PERSON)
        return Verdict(Kind.ABSTAINED, f"a person has to decide: {first.name} {first.reason}")
    if len(candidates) == 1:
        return Verdict(Kind.REJECTED, f"{candidates[0].name}: {candidates[0].reason}")
    told = ", ".join(f"{count} {standing}" for standing, count in sorted(counts.items()))
    return Verdict(
        Kind.REJECTED, f"no patch is plausible ({told}); {candidates[0].name}: {candidates[0].reason}"
    )


def _preserved(
    candidates: Sequence[Candidate],
    base: Sequence[Observation],
    clusters: tuple[Cluster, ...],
    notes: dict[int, str],
) -> Verdict:
    for group in clusters:
        if group.equals_base == len(base):
            best = group.members[0]
            reason = f"behaves like base on all {len(base)} inputs, as claimed, and is the smallest that does"
            return Verdict(Kind.ACCEPTED, f"{candidates[best].name} {reason}", best, clusters, notes)
    first = clusters[0].members[0]
    return Verdict(
        Kind.REJECTED, f"{candidates[first].name} changes behaviour: {notes[first]}", None, clusters, notes
    )


def _voted(
    candidates: Sequence[Candidate],
    clusters: tuple[Cluster, ...],
    notes: dict[int, str],
    thresholds: Thresholds,
) -> Verdict:
    best = clusters[0]
    rival = clusters[1].share if len(clusters) > 1 else 0.0
    n_votes = sum(group.distinct for group in clusters)
    told = (
        f"{best.distinct} of {n_votes} distinct plausible patches behave alike"
        if n_votes > 1
        else "there is one distinct plausible patch to vote"
    )
    works = any(seen.status == "ok" for seen in candidates[best.members[0]].behaviour)
    problem = ""
    if best.distinct < thresholds.distinct:
        problem = f"{told}, and at least {thresholds.distinct} are needed"
    elif best.share < thresholds.share:
        problem = f"{told}: a share of {best.share:.2f}, and {thresholds.share} is needed"
    elif best.share - rival < thresholds.lead:
        problem = f"{told}, but the next group is too close (a lead of {thresholds.lead} is needed)"
    elif not works:
        problem = f"{told}, but only in failing on every input"
    if problem:
        return Verdict(Kind.ABSTAINED, problem, None, clusters, notes)
    winner = best.members[0]
    reason = f"{told}; {candidates[winner].name} is the smallest of them"
    return Verdict(Kind.ACCEPTED, reason, winner, clusters, notes)


def _note(candidate: Candidate, base: Sequence[Observation]) -> str:
    """What a person wants to know about one plausible patch: where it departs from base."""
    pairs = list(zip(candidate.behaviour, base, strict=True))
    opaque = sum(not seen.comparable for seen, _ in pairs)
    equal = sum(seen.agrees(known) for seen, known in pairs)
    if equal == len(pairs):
        return f"like base on all {len(pairs)} inputs"
    said = f"like base on {equal} of {len(pairs)} inputs"
    if opaque:
        said += f"; on {opaque} it gives no plain or no stable value, where base does"
    differing = next(((seen, known) for seen, known in pairs if not seen.agrees(known)), None)
    if differing is not None:
        said += f"; first difference: {differing[0].shown}, base: {differing[1].shown}"
    return said
