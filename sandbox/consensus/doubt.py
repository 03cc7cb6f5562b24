"""Doubt a winner that won because most candidates could not vote.

A rule compares what candidates return. Where the inputs are of a wrong type, or where results cannot be compared, the
candidates that are right do not vote at all. One that ignores its arguments then wins without a rival. No rule sees
that from clusters alone, because a crash may also be a fault of the candidate.

Not covered: examples in the docstring. They are of the right type, so a winner that keeps one is not doubted.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.consensus.types import Decision
from sandbox.inputs import ProbeSet
from sandbox.outcome import JobResult, Status

WRONG_TYPE = frozenset({"TypeError", "AttributeError"})
"""Exceptions of a right program that receives an argument of a wrong type."""


def why_doubted(
    decision: Decision, results: Sequence[JobResult | None], inputs: ProbeSet
) -> tuple[str, bool]:
    """Return the reason not to trust the winner, and whether having run means anything then.

    The reason is empty where the winner is trusted. It is doubted if at least half of the candidates, and more than
    behave like it, did not vote for one of these causes:

    * all inputs raise `TypeError` or `AttributeError`, and the inputs were guessed;
    * all values are objects that cannot be compared.
    """
    best = decision.best
    if best is None or inputs.constraints:
        return "", True
    n = len(results)
    n_alike = next(len(cluster.members) for cluster in decision.clusters if best in cluster.members)
    n_refusing = sum(result is not None and _refuses(result) for result in results)
    if inputs.guessed and 2 * n_refusing >= n and n_refusing > n_alike:
        return (
            f"the inputs do not fit: {n_refusing} of {n} candidates raise a type error on all of them",
            False,
        )
    n_opaque = sum(result is not None and _is_incomparable(result) for result in results)
    if 2 * n_opaque >= n and n_opaque > n_alike:
        return f"{n_opaque} of {n} candidates return objects that cannot be compared", True
    return "", True


def _refuses(result: JobResult) -> bool:
    return bool(result.outcomes) and all(
        outcome.status is Status.EXCEPTION and outcome.exception in WRONG_TYPE for outcome in result.outcomes
    )


def _is_incomparable(result: JobResult) -> bool:
    values = [outcome.value for outcome in result.outcomes if outcome.value is not None]
    return bool(values) and all(value.opaque for value in values)
