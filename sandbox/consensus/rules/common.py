"""Build the decisions and abstentions of all rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.signature import OPAQUE, UNKNOWN, Behaviour
from sandbox.consensus.types import Cluster, Decision, Evidence

Members = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Scored:
    """The members of a cluster, best first, and its score."""

    members: Members
    score: float


def fluency(evidence: Evidence) -> NDArray[np.float64]:
    """Return mean log-probabilities, with minus infinity for NaN.

    NaN would leave comparisons undefined.
    """
    values = np.array(evidence.log_probabilities, dtype=np.float64)
    return np.where(np.isnan(values), -math.inf, values)


def order(members: Members, *keys: NDArray[np.generic]) -> Members:
    """Sort members by descending keys, the first key first.

    Equal members stay in sampled order.
    """
    if not keys:
        return members
    columns = [-key[members].astype(np.float64) for key in reversed(keys)]
    with np.errstate(invalid="ignore"):
        return members[np.lexsort(columns)]


def abstain(rule: str, reason: str, clusters: Sequence[Scored] = (), n_candidates: int = 0) -> Decision:
    return Decision(rule, as_clusters(clusters, n_candidates), None, 0.0, reason)


def as_clusters(scored: Sequence[Scored], n_candidates: int) -> tuple[Cluster, ...]:
    return tuple(
        Cluster(
            tuple(int(i) for i in item.members), float(item.score), len(item.members) / max(n_candidates, 1)
        )
        for item in scored
    )


def why_nothing(behaviour: Behaviour) -> str | None:
    """Return the reason for which no rule can choose, or None."""
    if behaviour.n_candidates == 0:
        return "There is no candidate to choose from."
    if len(behaviour.voters()) == 0:
        if bool((behaviour.labels == UNKNOWN).all()):
            return "The sandbox failed on every probe, so there are no outcomes to compare."
        if bool((behaviour.labels == OPAQUE).any()):
            return "No candidate returned data that can be compared."
        return "Every candidate crashed on every probe input."
    return None


def best_first(
    rule: str,
    behaviour: Behaviour,
    clusters: Sequence[Scored],
    confidence: Callable[[Sequence[Scored]], float],
    reason: Callable[[Scored], str],
) -> Decision:
    """Decide for the cluster with the highest score.

    Of equal clusters, the one sampled first wins.
    """
    ranked = sorted(clusters, key=lambda item: (-item.score, int(item.members.min())))
    if not ranked:
        return abstain(rule, "No candidate is left to choose from.", (), behaviour.n_candidates)
    value = confidence(ranked)
    value = min(max(value, 0.0), 1.0) if value == value else 0.0
    return Decision(
        rule,
        as_clusters(ranked, behaviour.n_candidates),
        int(ranked[0].members[0]),
        value,
        reason(ranked[0]),
    )
