"""Define rules of other papers: CodeT, B4, SRank and soft vote.

Each follows the definitions of its paper. Their confidences are their own scores scaled into [0, 1]; only the
default rule's confidence is calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.rules.baselines import test_matrix
from sandbox.consensus.rules.common import Scored, abstain, best_first, fluency, order, why_nothing
from sandbox.consensus.signature import Behaviour, Matrix, behaviour_of, group
from sandbox.consensus.types import Decision, Evidence


@dataclass(frozen=True, slots=True)
class CodeT:
    """Score clusters by sqrt(cluster size) x tests passed.

    Candidates that pass exactly the same tests are one cluster.

    Why: a right program agrees with other programs and with tests at once; the root keeps many similar wrong
    programs from outweighing tests (CodeT, arXiv 2207.10397, Section 2.2, "Dual execution agreement").
    """

    name: str = "codet"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        matrix, candidates = test_matrix(behaviour), np.arange(behaviour.n_candidates)
        clusters = [
            Scored(
                order(members, fluency(evidence)), math.sqrt(len(members)) * float(matrix[members[0]].sum())
            )
            for members in group(matrix, candidates)
        ]
        best = math.sqrt(behaviour.n_candidates) * max(matrix.shape[1], 1)
        return best_first(
            self.name,
            behaviour,
            clusters,
            confidence=lambda ranked: ranked[0].score / best,
            reason=lambda top: (
                f"{len(top.members)} candidates pass the same {matrix[top.members[0]].sum()} tests."
            ),
        )


@dataclass(frozen=True, slots=True)
class B4:
    """Score clusters by a posterior over candidates and tests.

    The hypothesis is that exactly the cluster and the tests it passes are right.

    Why: candidates and tests are both uncertain, so both are estimated together, with Beta priors
    (B4, arXiv 2409.08692, the approximated optimal strategy). `beta_0` is the prior against a wrong candidate
    passing a wrong test; `alpha_xy` the prior towards many right candidates and tests. The values are those
    that the paper's experiments recommend.
    """

    name: str = "b4"
    beta_0: float = 1e4
    alpha_xy: float = 1e3

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        matrix = test_matrix(behaviour)
        clusters = [
            Scored(order(members, fluency(evidence)), self._log_posterior(matrix, members))
            for members in group(matrix, np.arange(behaviour.n_candidates))
        ]
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            clusters,
            # The unnormalised posterior compares clusters of one problem only. Across problems, the shares of
            # candidates and of tests that B4 estimates to be right replace it.
            confidence=lambda ranked: math.sqrt(
                len(ranked[0].members)
                / n
                * float(matrix[ranked[0].members[0]].mean() if matrix.size else 0.0)
            ),
            reason=lambda top: (
                f"{len(top.members)} candidates and the tests they pass support each other best."
            ),
        )

    def _log_posterior(self, matrix: Matrix, members: NDArray[np.intp]) -> float:
        n, n_tests = matrix.shape
        right_tests = matrix[members[0]]
        others = np.ones(n, dtype=np.bool_)
        others[members] = False
        rest = matrix[others]
        passed_right = int(rest[:, right_tests].sum())
        passed_wrong = int(rest[:, ~right_tests].sum())
        n_right = int(right_tests.sum())
        return (
            _log_beta(n_right, n_tests, alpha=self.alpha_xy)
            + _log_beta(len(members), n, alpha=self.alpha_xy)
            + _log_beta(passed_right, len(rest) * n_right)
            + _log_beta(passed_wrong, len(rest) * (n_tests - n_right), beta=self.beta_0)
        )


def _log_beta(successes: int, trials: int, alpha: float = 1.0, beta: float = 1.0) -> float:
    """Return log B(successes + alpha, failures + beta).

    This is a Bernoulli likelihood integrated over its Beta prior.
    """
    a, b = successes + alpha, trials - successes + beta
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def output_clusters(behaviour: Behaviour, evidence: Evidence) -> list[NDArray[np.intp]]:
    """Cluster candidates by equal outputs, most fluent first.

    Candidates without answers are left out.
    """
    voters = behaviour.voters()
    return [order(members, fluency(evidence)) for members in group(behaviour.labels[voters], voters)]


@dataclass(frozen=True, slots=True)
class SRank:
    """Score output clusters by overlap-weighted size x pass rate of all.

    Why: near misses of the right program still agree with it on many inputs, so overlapping clusters support
    each other. Source: SRank, arXiv 2311.03366, the final ranking R = I V.
    """

    name: str = "srank"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        found = output_clusters(behaviour, evidence)
        first = np.array([members[0] for members in found])
        matrix, labels = test_matrix(behaviour), behaviour.labels[first]
        rate = matrix[first].mean(axis=1) if matrix.shape[1] else np.ones(len(found))
        value = np.array([len(members) for members in found]) * rate
        scores = _overlap(labels) @ value
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            [Scored(members, float(score)) for members, score in zip(found, scores, strict=True)],
            confidence=lambda ranked: ranked[0].score / n,
            reason=lambda top: f"{len(top.members)} of {n} candidates, and others that overlap with them.",
        )


def _overlap(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of equal values between clusters.

    Shape (n_clusters, n_clusters).
    """
    if labels.shape[1] == 0:
        return np.ones((len(labels), len(labels)))
    return np.stack([((labels == row) & (row >= 0)).mean(axis=1) for row in labels])


@dataclass(frozen=True, slots=True)
class SoftVote:
    """Choose the candidate whose outputs agree most with the others.

    Why: one wrong output need not put a candidate out of every large cluster (Functional Majority Voting,
    arXiv 2604.15618, the soft vote).
    """

    name: str = "soft-vote"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        agreement = mean_agreement(behaviour.labels)
        clusters = [
            Scored(members, float(agreement[members[0]])) for members in output_clusters(behaviour, evidence)
        ]
        return best_first(
            self.name,
            behaviour,
            clusters,
            confidence=lambda ranked: ranked[0].score,
            reason=lambda top: f"Its outputs agree with {top.score:.0%} of the other candidates' on average.",
        )


def mean_agreement(
    labels: NDArray[np.int32],
    weights: NDArray[np.float64] | None = None,
    relevance: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the mean agreement with other candidates, shape (n,).

    For each probe it is the share of other candidates that give the same value. `weights` are those of
    candidates, shape (n,); `relevance` those of probes, shape (m,). A crash agrees with nothing. Linear in
    candidates x probes: values are counted, pairs are not compared.
    """
    n, m = labels.shape
    importance = np.ones(m) if relevance is None else relevance
    if n < 2 or m == 0 or importance.sum() == 0:
        return np.zeros(n)
    weight = np.ones(n) if weights is None else weights
    valid = labels >= 0
    cells = np.where(valid, labels, 0) + n * np.arange(
        m
    )  # labels are below n: one counter per probe and value
    counts = np.bincount(
        cells[valid], weights=np.broadcast_to(weight[:, None], (n, m))[valid], minlength=n * m
    )
    agreeing = np.where(valid, counts[cells] - weight[:, None], 0.0)
    others = np.maximum(weight.sum() - weight, 1e-9)
    return np.asarray(agreeing @ importance / (importance.sum() * others), dtype=np.float64)
