"""The default rule: one score from what candidates return, what tests expect, and who agrees with whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus import Decision, Evidence
from sandbox.rules.common import Scored, abstain, best_first, fluency, order, why_nothing
from sandbox.rules.literature import mean_agreement
from sandbox.signature import Behaviour, describe, duplicates, group


@dataclass(frozen=True, slots=True)
class Joint:
    """Clusters by outputs; the author's examples first, then size, agreement and passed asserts together."""

    name: str = "joint"

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = describe(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        voters = behaviour.voters()
        copies = duplicates(evidence.sources)
        clusters = [
            order(members, fluency(evidence), copies) for members in group(behaviour.labels[voters], voters)
        ]
        first = np.array([members[0] for members in clusters])
        agreement = mean_agreement(behaviour.labels)[first]
        sizes = np.array([float(np.sum(1 / np.sqrt(copies[members]))) for members in clusters])
        kept_examples = _pass_rate(behaviour.constraints.passed)[first]
        rate = _weighted_pass_rate(behaviour)[first]
        scores = 10 * kept_examples + np.log(sizes) + 2 * agreement + 2 * rate
        n = behaviour.n_candidates
        return best_first(
            self.name,
            behaviour,
            [Scored(members, float(score)) for members, score in zip(clusters, scores, strict=True)],
            confidence=lambda ranked: len(ranked[0].members) / n,
            reason=lambda top: self._reason(top, behaviour),
        )

    def _reason(self, top: Scored, behaviour: Behaviour) -> str:
        text = f"{len(top.members)} of {behaviour.n_candidates} candidates behave alike"
        passed = behaviour.constraints.passed[top.members[0]]
        if len(passed):
            text += f" and keep {int(passed.sum())} of {len(passed)} examples of the docstring"
        return text + "."


def _pass_rate(matrix: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(matrix.mean(axis=1)) if matrix.shape[1] else np.zeros(len(matrix))


def _weighted_pass_rate(behaviour: Behaviour) -> NDArray[np.float64]:
    tests = behaviour.tests
    if not len(tests):
        return np.zeros(behaviour.n_candidates)
    return np.asarray(tests.passed @ (tests.counts / tests.counts.sum()), dtype=np.float64)
