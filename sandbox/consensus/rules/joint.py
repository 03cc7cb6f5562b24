"""Define the default rule: one score from outputs, passed tests and agreement.

Candidates are clustered by their outputs. The score of a cluster is a weighted sum of the features in
`sandbox.consensus.rules.features`. A regression fitted on recorded tasks turns the softmax of the scores into a
confidence. The author's examples outweigh everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sandbox.consensus.calibration import Fitted, Parameters, confidence_inputs, shipped, softmax, task_key
from sandbox.consensus.rules import features
from sandbox.consensus.rules.common import Scored, abstain, best_first, why_nothing
from sandbox.consensus.signature import Behaviour, behaviour_of
from sandbox.consensus.types import Decision, Evidence

EXAMPLE_BONUS = 100.0
"""Score for passing all examples of the docstring: more than all other features can outweigh.

A bonus and not a filter, because an example can be wrong, or too hard for every candidate. The rule abstains where
no candidate passes any example: either the candidates are wrong or the examples are
(`docs/experiments/2026-11-27-abstain-when-examples-fail.md`).
"""
MINIMUM_ANSWERS = 0.1
"""Least share of inputs that the winner must answer.

Candidates that agree on one input and crash on the rest prove little. In one recorded task 87 candidates lack the
same import and agree on the empty string. A kept example outweighs this: where only texts of a format have an answer
(JSON, a date), generated inputs make the right candidates crash too.
"""


@dataclass(frozen=True, slots=True)
class Joint:
    """Choose an output cluster by examples, then by weighted features.

    Why: no single signal decides. Outputs, asserts and texts are weak each and together better
    (`docs/consensus.md` has the figures).
    """

    name: str = "joint"
    parameters: Parameters | None = None
    """None: the parameters that come with the package."""
    least_confidence: float = 0.0
    """With less confidence the rule abstains, and its best candidate is only a guess."""
    least_alike: int = 1
    """The same with fewer candidates that behave like the best one."""

    def out_of_fold(self, prompt: str, fitted: Fitted | None = None) -> Joint:
        """Return this rule with parameters fitted without the task of `prompt`.

        This keeps figures on recorded tasks unbiased.
        """
        if self.parameters is not None:
            return self
        fitted = fitted or shipped()
        fold = fitted.seen.get(task_key(prompt))
        return replace(self, parameters=fitted.folds[fold] if fold is not None else fitted.everything)

    def decide(self, evidence: Evidence) -> Decision:
        behaviour = behaviour_of(evidence)
        if reason := why_nothing(behaviour):
            return abstain(self.name, reason)
        parameters = self.parameters or shipped().everything
        clusters = features.clusters_of(behaviour, evidence)
        first = np.array([members[0] for members in clusters])
        table = features.matrix(behaviour, evidence, clusters)
        scores = parameters.score(table)
        kept = behaviour.constraints.passed[first]
        if kept.shape[1]:
            scores = scores + EXAMPLE_BONUS * kept.mean(axis=1)
        best = int(scores.argmax())
        scored = [Scored(members, float(score)) for members, score in zip(clusters, scores, strict=True)]
        keeps_example = bool(kept.shape[1]) and bool(kept[best].any())
        reason = None
        if kept.shape[1] and not keeps_example:  # the best passes the most, so no candidate passes one
            reason = "No candidate passes an example of the docstring."
        elif self._crashes(behaviour, int(first[best])) and not keeps_example:
            reason = f"The best candidates crash on more than {1 - MINIMUM_ANSWERS:.0%} of the inputs."
        if reason:
            scored.sort(key=lambda cluster: -cluster.score)
            return abstain(self.name, reason, scored, behaviour.n_candidates)
        inputs = confidence_inputs(
            float(softmax(scores)[best]),
            float(table[best, features.NAMES.index("agreement")]),
            len(clusters[best]) / behaviour.n_candidates,
            behaviour.n_candidates,
            float(kept[best].mean()) if kept.shape[1] else 0.0,
            evidence.log_probabilities[first[best]],
        )
        decision = best_first(
            self.name,
            behaviour,
            scored,
            confidence=lambda _: parameters.confidence(inputs),
            reason=lambda top: self._reason(top, behaviour),
        )
        sure = decision.confidence >= self.least_confidence and len(clusters[best]) >= self.least_alike
        return decision if sure else _as_guess(decision)

    @staticmethod
    def _crashes(behaviour: Behaviour, candidate: int) -> bool:
        return behaviour.n_probes > 0 and behaviour.answered[candidate].mean() < MINIMUM_ANSWERS

    def _reason(self, top: Scored, behaviour: Behaviour) -> str:
        members, n = top.members, behaviour.n_candidates
        text = f"{len(members)} of {n} candidates behave alike on {behaviour.n_probes} inputs"
        examples, tests = behaviour.constraints.passed[members[0]], behaviour.tests.passed[members[0]]
        if len(examples):
            text += f", keep {int(examples.sum())} of {len(examples)} examples of the docstring"
        if len(tests):
            text += f", pass {int(tests.sum())} of {len(tests)} generated asserts"
        return text + "."


def _as_guess(decision: Decision) -> Decision:
    """Return an abstention that keeps its best candidate."""
    reason = f"Too little speaks for the best candidate: {decision.reason[0].lower()}{decision.reason[1:]}"
    return replace(decision, winner=None, guess=decision.winner, reason=reason)
