"""Find behaviour that depends on chance, by comparing two runs.

The same jobs run under two hash seeds and are compared outside the jail. Clock, process number, hash order and
unseeded randomness show as outcomes that differ. An outcome that is the same twice may still be unstable; one that
differs certainly is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sandbox.outcome import JobResult, Outcome, Status


def mark_unstable(first: Sequence[JobResult], second: Sequence[JobResult]) -> list[JobResult]:
    """Mark every outcome of the first run that the second contradicts.

    Both runs must be of the same jobs in the same order. An `infra` outcome contradicts nothing.
    """
    return [
        replace(a, outcomes=tuple(_marked(x, y) for x, y in zip(a.outcomes, b.outcomes, strict=True)))
        for a, b in zip(first, second, strict=True)
    ]


def _marked(a: Outcome, b: Outcome) -> Outcome:
    if Status.INFRA in (a.status, b.status):
        return a
    same = a.status is b.status and a.exception == b.exception
    if a.status is Status.OK:  # a time limit may cut the output of a failed call anywhere
        same &= a.stdout == b.stdout
    if a.value is not None and b.value is not None:  # by bytes, so that an opaque value can be stable
        same &= a.value.canonical == b.value.canonical
    return a if same else replace(a, unstable=True)
