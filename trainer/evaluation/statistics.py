"""Computes pass@k and its intervals from how many samples of each task passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964
"""Quantile of the normal distribution for a two-sided interval of 95 %."""
BOOTSTRAP_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate the probability that one of k samples passes, when c of n did.

    The samples are drawn without replacement: the unbiased estimator of Chen et al. 2021, 1 - C(n-c, k) / C(n, k).

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} cannot be estimated from {c} of {n} samples")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def wilson(passed: int, n: int) -> Estimate:
    """Return a share of n independent trials with its Wilson interval.

    The interval stays inside [0, 1], also for 0 and n of n.
    """
    z = Z_95
    if n == 0:
        return Estimate(0.0, 0.0, 1.0)
    p = passed / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def bootstrap_mean(values: Sequence[float]) -> Estimate:
    """Return the mean over tasks with its percentile bootstrap interval.

    Tasks are drawn with replacement.
    """
    if not values:
        return Estimate(0.0, 0.0, 1.0)
    data = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(0).integers(0, len(data), size=(BOOTSTRAP_ROUNDS, len(data)))
    low, high = np.percentile(data[draws].mean(axis=1), [2.5, 97.5])
    return Estimate(float(data.mean()), float(low), float(high))


def estimate(passed: Sequence[int], n: int, k: int) -> Estimate:
    """Return pass@k over tasks of n samples each.

    The interval is Wilson's for one sample per task, else a bootstrap over tasks.
    """
    if n == 1 and k == 1:
        return wilson(sum(passed), len(passed))
    return bootstrap_mean([pass_at_k(n, c, k) for c in passed])
