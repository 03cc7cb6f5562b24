"""Define the rule of the UCoder paper (arXiv 2512.17385) and its baselines.

UCoder's signature of a candidate is its pass/fail vector over the generated tests. It
merges all candidates that pass nothing into one cluster, whatever they return. These rules are here for
comparison and to reproduce the paper; they are not the default (`docs/consensus.md` has the figures).
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
    """Return pass/fail over all tests, shape (n, n_tests).

    Asserts and the author's examples count alike.
    """
    return np.concatenate([behaviour.tests.passed, behaviour.constraints.passed], axis=1)


def execution_success(behaviour: Behaviour) -> NDArray[np.float64]:
    """Return e(r), the share of inputs without a crash, shape (n,).

    It is not the share of passed tests. All inputs count, with or without an expected value, to reproduce the
    figure measured before with this rule (`docs/consensus.md`). A failure of the sandbox is not a crash of
    the candidate.
    """
    return np.asarray((behaviour.labels != CRASH).mean(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class UCoder:
    """Choose the largest cluster of pass/fail signatures among candidates that seldom crash.

    Within it: higher execution success, then lower perplexity. Why: independent wrong programs seldom fail the
    same tests, so the largest cluster is likely right (Section 2, with Theorem 2.4).
    """

    name: str = "ucoder"
    reliability: float = 0.8
    """Least e(r) of a candidate: the paper's reliability filter."""
    minimum_size: int = 1
    """tau, the least size of a cluster. The paper does not give its value; 1 switches it off."""

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
    """Choose a random candidate that passes every test.

    That is the first one, as samples come in random order.

    Why: a baseline of the paper's ablation. It shows what tests give without consensus.
    """

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
    """Choose the largest cluster of equal outputs on all probes.

    A crash is an output like any other here.

    Why: a baseline of the paper's ablation. It shows what outputs give without tests.
    """

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
    """Choose the most fluent candidate that gives any value at all.

    Why: a baseline of the paper's ablation. It shows what the model alone gives, without behaviour.
    """

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
    """Choose the candidate that passes most tests.

    It must pass at least the share `threshold` of them.

    Why: a baseline of the paper's ablation. It shows what counting tests gives without clusters.
    """

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
