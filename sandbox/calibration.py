"""Fitting the default rule on recorded tasks: weights of its features, and a calibrated confidence.

Plain numpy, seconds of work. Everything is fitted K-fold over tasks: for a recorded task that the shipped file
was fitted on, a replay uses the parameters of the fold that never saw it (`Joint.out_of_fold`); any other task
gets the parameters fitted on all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_FOLDS = 5
RIDGE = 3.0
"""Strength of the pull of every weight towards 0 (a Gaussian prior of precision 3)."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights of the features, in the order of `sandbox.rules.features.NAMES`, and the calibration curve."""

    weights: tuple[float, ...]
    raw: tuple[float, ...] = (0.0, 1.0)
    """Raw confidences (softmax share of the best cluster), ascending."""
    calibrated: tuple[float, ...] = (0.0, 1.0)
    """What share was right at each of them."""

    def confidence(self, raw: float) -> float:
        return float(np.interp(raw, self.raw, self.calibrated))


@dataclass(frozen=True, slots=True)
class Fitted:
    """The shipped parameters: `folds[k]` never saw the tasks whose key maps to k."""

    everything: Parameters
    folds: tuple[Parameters, ...] = ()
    seen: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def task_key(prompt: str) -> str:
    """A short hash that names a task by its prompt, without storing any of its text."""
    return hashlib.sha256(" ".join(prompt.split()).encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def shipped() -> Fitted:
    """The parameters that come with the package (fitted by `ucoder consensus fit`)."""
    text = resources.files("sandbox").joinpath("rules/fitted.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return Fitted(
        _parameters(data["everything"]),
        tuple(_parameters(item) for item in data["folds"]),
        tuple((str(key), int(fold)) for key, fold in data["seen"]),
    )


def _parameters(data: dict[str, list[float]]) -> Parameters:
    return Parameters(tuple(data["weights"]), tuple(data["raw"]), tuple(data["calibrated"]))


@dataclass(frozen=True, slots=True)
class Row:
    """One decision to learn from: the clusters' features and the share of right candidates in each."""

    task: str
    features: Floats
    right: Floats
    weight: float


def softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum())


def fit_weights(rows: Sequence[Row], steps: int = 400) -> tuple[float, ...]:
    """Weights w that maximise the chance that a cluster drawn from softmax(features @ w) is right.

    Conditional logit with a Gaussian prior, by gradient ascent with a step that adapts.
    """
    useful = [row for row in rows if len(row.right) and row.right.max() > 0]
    weights = np.zeros(useful[0].features.shape[1]) if useful else np.zeros(0)
    step, best = 0.05, -np.inf
    gradient = np.zeros_like(weights)
    for _ in range(steps):
        trial = weights + step * gradient
        value, slope = _likelihood(useful, trial)
        if value >= best:
            weights, best, gradient, step = trial, value, slope, step * 1.3
        else:
            step *= 0.4
    return tuple(round(float(w), 5) for w in weights)


def _likelihood(rows: Sequence[Row], weights: Floats) -> tuple[float, Floats]:
    value, slope = -RIDGE * float(weights @ weights) / 2, -RIDGE * weights
    for row in rows:
        chance = softmax(row.features @ weights)
        right = max(float(chance @ row.right), 1e-9)
        value += row.weight * float(np.log(right))
        slope = slope + row.weight * (row.features.T @ (chance * row.right / right - chance))
    return value, slope


def isotonic(raw: Floats, right: Floats, weight: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The best non-decreasing curve from raw confidences to the share that is right (pool adjacent violators).

    Given as the pools' centres, to be interpolated linearly, so that a ranking by confidence keeps its order.
    Each pool is shrunk a little towards the overall share: a pool of three right answers is not certainty.
    """
    pools: list[list[float]] = []  # mean x, mean y, weight
    for i in np.argsort(raw, kind="stable"):
        pools.append([float(raw[i]), float(right[i]), float(weight[i])])
        while len(pools) > 1 and pools[-2][1] >= pools[-1][1]:
            x, y, w = pools.pop()
            below = pools[-1]
            total = below[2] + w
            pools[-1] = [(below[0] * below[2] + x * w) / total, (below[1] * below[2] + y * w) / total, total]
    if not pools:
        return (0.0, 1.0), (0.0, 1.0)
    overall = float(np.average(right, weights=weight))
    points = [(x, (y * w + 2 * overall) / (w + 2)) for x, y, w in pools]
    xs = [0.0, *(round(x, 5) for x, _ in points), 1.0001]
    ys = [points[0][1], *(y for _, y in points), points[-1][1]]
    return tuple(xs), tuple(round(float(y), 5) for y in np.maximum.accumulate(ys))


def fit(rows: Sequence[Row], keys: Sequence[str]) -> Fitted:
    """Weights and calibration for every fold and for all; `keys` are the tasks' keys, in a fixed order."""
    fold = {key: int(key, 16) % N_FOLDS for key in keys}
    weights = [fit_weights([r for r in rows if fold[r.task] != k]) for k in range(N_FOLDS)]
    held_out = [_held_out(row, np.array(weights[fold[row.task]])) for row in rows]
    folds = []
    for k in range(N_FOLDS):
        others = [i for i, row in enumerate(rows) if fold[row.task] != k]
        folds.append(Parameters(weights[k], *_curve([held_out[i] for i in others])))
    everything = Parameters(fit_weights(rows), *_curve(held_out))
    return Fitted(everything, tuple(folds), tuple(sorted(fold.items())))


def _held_out(row: Row, weights: Floats) -> tuple[float, float, float]:
    if not len(row.right):
        return 0.0, 0.0, row.weight
    chance = softmax(row.features @ weights)
    best = int(chance.argmax())
    return float(chance[best]), float(row.right[best]), row.weight


def _curve(points: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    raw, right, weight = (np.array(column) for column in zip(*points, strict=True))
    return isotonic(raw, right, weight)


def expected_calibration_error(confidence: Floats, right: Floats, bins: int = 10) -> float:
    """Mean distance between confidence and share right, over equally wide bins, weighted by their size."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = index == b
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return float(total)
