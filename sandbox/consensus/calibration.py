"""Fit the default rule on recorded tasks: weights and calibrated confidence.

Plain numpy, seconds of work. Everything is fitted K-fold over tasks. A replay of a task that the shipped file
was fitted on uses the parameters of the fold without that task (`Joint.out_of_fold`). Every other task gets the
parameters fitted on all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_FOLDS = 5
RIDGE = 1.0
"""Precision of the Gaussian prior of each weight, for features of unit spread: pulls weights towards 0."""
CONFIDENCE_RIDGE = 20.0
"""The same for the confidence. Stronger, because the draws of one task are not independent tasks."""
CONSTANT = 1e-6
"""A feature with a smaller spread is the same everywhere."""
LEAST_LOG_PROBABILITY = -3.0
"""Less fluent winners are all alike."""
CERTAIN = 1e-4
"""Shares are clipped to [CERTAIN, 1 - CERTAIN] before their logit is taken."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """The logistic regression that gives a winner's confidence.

    It estimates how often similar winners were right. The softmax share alone is overconfident where few candidates
    compete. Agreement between candidates measures how hard the problem is, kept examples and fluency how well the
    winner fits it.
    """

    intercept: float = 0.0
    share: float = 1.0
    """Per logit of the winner's softmax share."""
    agreement: float = 0.0
    """Per unit of the winner's mean agreement with the other candidates."""
    alike: float = 0.0
    """Per unit of the share of the candidates that behave like the winner."""
    log_candidates: float = 0.0
    """Per natural logarithm of the number of candidates."""
    examples: float = 0.0
    """Per share of the docstring's examples that the winner keeps."""
    log_probability: float = 0.0
    """Per unit of the winner's mean log-probability."""

    def __call__(self, inputs: Floats) -> float:
        """Return the confidence for `confidence_inputs`."""
        return float(_logistic(self.intercept + inputs @ [getattr(self, name) for name in INPUTS]))


INPUTS = ("share", "agreement", "alike", "log_candidates", "examples", "log_probability")
"""The inputs of the confidence, in order."""


def confidence_inputs(
    share: float,
    agreement: float,
    alike: float,
    n_candidates: int,
    examples: float = 0.0,
    log_probability: float = 0.0,
) -> Floats:
    """Return the inputs of the confidence, shape (len(INPUTS),).

    Args:
        share: of the winner in the softmax of the scores.
        agreement: mean share of equal outputs of the winner and another candidate.
        alike: share of the candidates that behave like the winner.
        examples: share of the docstring's examples that the winner keeps; 0 without examples.
        log_probability: of the winner; 0 where it was not recorded.
    """
    inside = min(max(share, CERTAIN), 1 - CERTAIN)
    fluent = (
        min(max(log_probability, LEAST_LOG_PROBABILITY), 0.0) if log_probability == log_probability else 0.0
    )
    return np.array(
        [math.log(inside / (1 - inside)), agreement, alike, math.log(max(n_candidates, 1)), examples, fluent]
    )


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights by feature, in the order of `sandbox.consensus.rules.features.NAMES`, and the confidence."""

    weights: dict[str, float]
    confidence: Confidence = Confidence()

    def score(self, features: Floats) -> Floats:
        """Return one score per cluster; `features` has shape (n_clusters, n_features)."""
        return np.asarray(features @ np.array(list(self.weights.values())))


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted parameters, for all tasks and per fold.

    `folds[k]` are fitted without the tasks whose key maps to k in `seen`.
    """

    everything: Parameters
    folds: tuple[Parameters, ...] = ()
    seen: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def task_key(prompt: str) -> str:
    """Return a hash that identifies a task without storing its text."""
    return hashlib.sha256(" ".join(prompt.split()).encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def shipped() -> Fitted:
    """Load the parameters that come with the package.

    `ucoder consensus fit` wrote them.
    """
    data = json.loads(
        resources.files("sandbox.consensus").joinpath("rules/fitted.json").read_text(encoding="utf-8")
    )
    return Fitted(
        _parameters(data["everything"]), tuple(_parameters(item) for item in data["folds"]), data["seen"]
    )


def _parameters(data: dict[str, dict[str, float]]) -> Parameters:
    return Parameters(data["weights"], Confidence(**data["confidence"]))


@dataclass(frozen=True, slots=True)
class Row:
    """One decision to learn from: features and right candidates of its clusters."""

    task: str
    features: Floats
    """Shape (n_clusters, n_features)."""
    right: Floats
    """Share of right candidates in each cluster, shape (n_clusters,)."""
    alike: Floats
    """Share of the candidates that are in each cluster, shape (n_clusters,)."""
    log_probability: Floats
    """Mean log-probability of each cluster's first member, shape (n_clusters,); 0 where it was not recorded."""
    weight: float
    n_candidates: int
    examples: float = 0.0
    """Share of the docstring's examples that these clusters keep: those that keep fewer are left out."""


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write decisions to learn from, one JSON object a line."""

    def plain(values: Floats) -> Any:
        return np.round(values, 4).tolist()

    lines = [
        json.dumps(
            {
                "task": row.task,
                "features": plain(row.features),
                "right": plain(row.right),
                "alike": plain(row.alike),
                "log_probability": plain(row.log_probability),
                "weight": round(row.weight, 4),
                "n_candidates": row.n_candidates,
                "examples": round(row.examples, 4),
            }
        )
        for row in rows
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote.

    Raises:
        OSError, ValueError: the file is missing or holds something else.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
            names = ("features", "right", "alike", "log_probability")
            arrays = {name: np.array(data[name], dtype=np.float64) for name in names}
            row = Row(
                task=str(data["task"]),
                weight=float(data["weight"]),
                n_candidates=int(data["n_candidates"]),
                examples=float(data["examples"]),
                **arrays,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, line {number} is not an election ({error!r})") from error
        rows.append(row)
    return rows


def softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum())


def fit_weights(rows: Sequence[Row], names: Sequence[str], steps: int = 300) -> dict[str, float]:
    """Fit the weights of the features.

    They maximise the chance that a cluster drawn from softmax(features @ weights) is right. Conditional logit
    with a Gaussian prior, by gradient ascent with an adaptive step.
    """
    useful = [row for row in rows if len(row.right) and row.right.max() > 0]
    if not useful:
        return dict.fromkeys(names, 0.0)
    features = np.concatenate([row.features for row in useful])
    spread = features.std(axis=0)
    spread = np.where(spread > CONSTANT, spread, np.inf)  # a feature that never differs gets the weight 0
    problem = _Problem(
        features / spread,
        np.concatenate([row.right for row in useful]),
        np.cumsum([0, *(len(row.right) for row in useful[:-1])]),
        np.array([row.weight for row in useful]),
    )
    weights, step, best = np.zeros(len(names)), 0.02, -np.inf
    gradient = np.zeros(len(names))
    for _ in range(steps):
        trial = weights + step * gradient
        value, slope = problem.likelihood(trial)
        if value >= best:
            weights, best, gradient, step = trial, value, slope, step * 1.3
        else:
            step *= 0.4
    return {name: round(float(w), 5) for name, w in zip(names, weights / spread, strict=True)}


@dataclass(frozen=True, slots=True)
class _Problem:
    """The clusters of all decisions in one table.

    Decision i starts at row `starts[i]`.
    """

    features: Floats
    right: Floats
    starts: NDArray[np.int64]
    weight: Floats

    def likelihood(self, weights: Floats) -> tuple[float, Floats]:
        """Return the log-posterior, up to a constant, and its gradient."""
        decision = np.repeat(np.arange(len(self.starts)), np.diff([*self.starts, len(self.right)]))
        scores = self.features @ weights
        chance = np.exp(scores - np.maximum.reduceat(scores, self.starts)[decision])
        chance /= np.add.reduceat(chance, self.starts)[decision]
        right = np.maximum(np.add.reduceat(chance * self.right, self.starts), 1e-9)
        pull = self.weight[decision] * chance * (self.right / right[decision] - 1)
        value = float(self.weight @ np.log(right)) - RIDGE * float(weights @ weights) / 2
        return value, self.features.T @ pull - RIDGE * weights


def fit_confidence(inputs: Floats, right: Floats, weight: Floats) -> Confidence:
    """Fit a logistic regression by Newton's method.

    Inputs are scaled to unit spread; a Gaussian prior pulls their weights towards 0.
    """
    if not len(right):
        return Confidence()
    centre, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
    table = np.column_stack([np.ones(len(right)), (inputs - centre) / spread])
    prior = np.diag([1e-6, *(CONFIDENCE_RIDGE,) * inputs.shape[1]])
    found = np.zeros(table.shape[1])
    for _ in range(30):
        chance = _logistic(table @ found)
        slope = table.T @ (weight * (right - chance)) - prior @ found
        bend = (table * (weight * chance * (1 - chance))[:, None]).T @ table + prior
        step = np.linalg.solve(bend, slope)
        # A step changes no weight by more than 1: where the slope is steep it could diverge.
        found = found + step / max(1.0, float(np.abs(step).max()))
    slopes = found[1:] / spread
    return Confidence(
        round(float(found[0] - slopes @ centre), 5), *(round(float(value), 5) for value in slopes)
    )


def _logistic(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))))


def fit(rows: Sequence[Row], keys: Sequence[str], names: Sequence[str]) -> Fitted:
    """Fit weights and confidence for every fold and for all tasks.

    `keys` are the tasks' keys. The confidence is fitted on out-of-fold winners: their weights were fitted
    without their task.
    """
    fold = {key: int(key, 16) % N_FOLDS for key in keys}
    weights = [fit_weights([r for r in rows if fold[r.task] != k], names) for k in range(N_FOLDS)]
    chosen = [_winner(row, Parameters(weights[fold[row.task]])) for row in rows if len(row.right)]
    tasks = np.array([fold[row.task] for row in rows if len(row.right)])
    table = np.array([(*inputs, right, weight) for inputs, right, weight in chosen])
    table = table.reshape(-1, len(INPUTS) + 2)
    folds = []
    for k in range(N_FOLDS):
        others = table[tasks != k]
        folds.append(Parameters(weights[k], fit_confidence(others[:, :-2], others[:, -2], others[:, -1])))
    confidence = fit_confidence(table[:, :-2], table[:, -2], table[:, -1])
    return Fitted(Parameters(fit_weights(rows, names), confidence), tuple(folds), dict(sorted(fold.items())))


def _winner(row: Row, parameters: Parameters) -> tuple[Floats, float, float]:
    """Return the winner's confidence inputs, its share right and its weight."""
    chance = softmax(parameters.score(row.features))
    best = int(chance.argmax())
    agreement = float(row.features[best, list(parameters.weights).index("agreement")])
    inputs = confidence_inputs(
        float(chance[best]),
        agreement,
        float(row.alike[best]),
        row.n_candidates,
        row.examples,
        float(row.log_probability[best]),
    )
    return inputs, float(row.right[best]), row.weight


def expected_calibration_error(confidence: Floats, right: Floats, bins: int = 10) -> float:
    """Return the mean gap between confidence and share right.

    The confidences are put into equally wide bins, whose gaps are weighted by their size.
    """
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = index == b
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return float(total)
