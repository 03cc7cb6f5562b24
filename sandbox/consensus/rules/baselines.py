"""The published rule (UCoder, arXiv 2512.17385) and the arms of its ablation, as they are described.

The signature of a candidate is its pass/fail vector over the generated tests. That merges everything that
passes nothing into one cluster, whatever it returns: the reason why these rules are here for comparison and
for reproducing the paper, and are not the default (docs/consensus.md has the figures).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.rules.common import Scored, abstain, best_first, fluency, order, why_nothing
from sandbox.consensus.signature import CRASH, Behaviour, Matrix, behaviour_of, group
from sandbox.consensus.types import Decision, Evidence


def test_matrix(behaviour: Behaviour) -> Matrix:
    """Pass/fail over all tests, asserts and the author's examples alike: shape (n, n_tests)."""
    return np.concatenate([behaviour.tests.passed, behaviour.constraints.passed], axis=1)


def execution_success(behaviour: Behaviour) -> NDArray[np.float64]:
    """e(r): the share of inputs on which a candidate does not crash (not: of the tests that it passes).

    All inputs that were run count, with an expected value or without: only so is the figure reproduced that was
    measured before with this rule (docs/consensus.md). A failure of the sandbox is no crash of the candidate.
    """
    return np.asarray((behaviour.labels != CRASH).mean(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class UCoder:
    """Crash filter, pass/fail signatures, largest cluster, then execution success, then perplexity."""

    name: str = "ucoder"
    reliability: float = 0.8
    """Least e(r) of a candidate that may take part."""
    minimum_size: int = 1
    """tau: the paper does not give its value; 1 switches the requirement off."""

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        tests = test_matrix(behaviour)
        if tests.shape[1] == 0:
            return abstain(self.name, "There are no tests, so no candidate has a signature.")
        success = execution_success(behaviour)
        reliable = np.flatnonzero(success >= self.reliability)
        if len(reliable) == 0:
            return abstain(
                self.name, f"Every candidate crashes on more than {1 - self.reliability:.0%} of the inputs."
            )
        clusters = [
            Scored(order(members, success, fluency(evidence)), float(len(members)))
            for members in group(tests[reliable], reliable)
        ]
        large = [cluster for cluster in clusters if len(cluster.members) >= self.minimum_size]
        if not large:
            return abstain(
                self.name, f"No cluster has {self.minimum_size} members.", clusters, behaviour.n_candidates
            )
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            large,
            confidence=lambda ranked: ranked[0].score / n,
            reason=lambda top: f"{len(top.members)} of {n} candidates pass and fail the same tests.",
        )


@dataclass(frozen=True, slots=True)
class RandomPassing:
    """A random candidate among those that pass every test; the first, as samples come in random order."""

    name: str = "random-passing"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        passing = np.flatnonzero(test_matrix(behaviour).all(axis=1))
        if len(passing) == 0:
            return abstain(self.name, "No candidate passes every test.")
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            [Scored(passing, float(len(passing)))],
            confidence=lambda ranked: ranked[0].score / n,
            reason=lambda top: f"One of the {len(top.members)} of {n} candidates that pass every test.",
        )


@dataclass(frozen=True, slots=True)
class OutputHash:
    """The dominant cluster of equal outputs on all probes. A crash is an output like any other here."""

    name: str = "output-hash"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        voters = behaviour.voters()
        clusters = [
            Scored(order(members, fluency(evidence)), float(len(members)))
            for members in group(behaviour.labels[voters], voters)
        ]
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            clusters,
            confidence=lambda ranked: ranked[0].score / n,
            reason=lambda top: f"{len(top.members)} of {n} candidates give the same outputs.",
        )


@dataclass(frozen=True, slots=True)
class LowestPerplexity:
    """The most fluent candidate that gives any value at all."""

    name: str = "lowest-perplexity"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        scores = fluency(evidence)
        clusters = [Scored(np.array([i], dtype=np.intp), float(scores[i])) for i in behaviour.voters()]
        return best_first(
            self.name,
            behaviour,
            clusters,
            confidence=lambda ranked: math.exp(min(ranked[0].score, 0.0)),
            reason=lambda top: f"It has the lowest perplexity, {_perplexity(top.score)}.",
        )


def _perplexity(log_probability: float) -> str:
    return f"{math.exp(-log_probability):.3f}" if log_probability > -50 else "unknown"


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """The candidate that passes most tests, if it passes at least `threshold` of them."""

    name: str = "success-rate"
    threshold: float = 0.0

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        matrix = test_matrix(behaviour)
        if matrix.shape[1] == 0:
            return abstain(self.name, "There are no tests to pass.")
        rate = np.asarray(matrix.mean(axis=1), dtype=np.float64)
        voters = behaviour.voters()
        clusters = [
            Scored(order(members, fluency(evidence)), float(rate[members[0]]))
            for members in group(rate[voters], voters)
            if rate[members[0]] >= self.threshold
        ]
        return best_first(
            self.name,
            behaviour,
            clusters,
            confidence=lambda ranked: ranked[0].score,
            reason=lambda top: f"It passes {top.score:.0%} of the generated tests.",
        )
