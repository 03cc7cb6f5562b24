"""Measure how well rules choose: table, bootstrap interval and plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.calibration import (
    Fitted,
    Row,
    expected_calibration_error,
    fit,
    task_key,
)
from sandbox.consensus.replay import ReplayedTask
from sandbox.consensus.rules import features
from sandbox.consensus.rules.joint import Joint
from sandbox.consensus.signature import behaviour_of
from sandbox.consensus.types import Evidence, Rule

Floats = NDArray[np.float64]
DRAWS = 6
"""Number of random draws from each task where fewer candidates than all take part."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The decisions of one rule on all tasks.

    All arrays have shape (n_tasks * n_draws,).
    """

    rule: str
    right: Floats
    confidence: Floats
    decided: NDArray[np.bool_]
    n_tasks: int

    @property
    def pass_at_1(self) -> float:
        return float(self.right.mean())

    def precision(self, share: float) -> float:
        """Return the share of right decisions among the most confident.

        Decisions of equal confidence count with their average.
        """
        wanted = max(1, round(share * len(self.right)))
        total, left = 0.0, wanted
        for value in np.unique(self.confidence)[::-1]:
            inside = self.right[self.confidence == value]
            taken = min(left, len(inside))
            total += taken * float(inside.mean())
            left -= taken
            if left == 0:
                break
        return total / wanted

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form; all figures are shares in [0, 1]."""
        return {
            "rule": self.rule,
            "pass_at_1": round(self.pass_at_1, 4),
            "precision_25": round(self.precision(0.25), 4),
            "precision_50": round(self.precision(0.5), 4),
            "coverage": round(float(self.decided.mean()), 4),
            "ece": round(expected_calibration_error(self.confidence, self.right), 4),
        }


def samples_of(task: ReplayedTask, n: int | None, seed: int) -> list[list[int]]:
    """Return the candidates of each draw.

    One draw of all in recorded order, or `DRAWS` random draws of `n`.
    """
    total = len(task.evidence.outcomes)
    if n is None or n >= total:
        return [list(range(total))]
    generator = np.random.default_rng([seed, int(task_key(task.task.prompt), 16) % 2**32])
    return [[int(i) for i in generator.choice(total, n, replace=False)] for _ in range(DRAWS)]


def evaluate(
    tasks: Sequence[ReplayedTask], rules: Mapping[str, Rule], n: int | None = None, seed: int = 0
) -> list[RuleResult]:
    """Evaluate every rule on the same draws of each task.

    Tasks without an official test are left out. An abstention counts as a wrong decision.
    """
    scored = [task for task in tasks if task.correct]
    records: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in rules}
    for task in scored:
        for chosen in samples_of(task, n, seed):
            evidence, correct = task.subset(chosen)
            for name, rule in rules.items():
                decision = (rule.out_of_fold(task.task.prompt) if isinstance(rule, Joint) else rule).decide(
                    evidence
                )
                right = decision.winner is not None and correct[decision.winner]
                records[name].append((float(right), decision.confidence, decision.winner is not None))
    results = []
    for name, rows in records.items():
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        results.append(RuleResult(name, table[:, 0], table[:, 1], table[:, 2] > 0, len(scored)))
    return results


def bootstrap_difference(a: RuleResult, b: RuleResult, rounds: int = 10_000) -> tuple[float, float, float]:
    """Return the difference of pass@1 and its 95 % interval.

    The result is (mean, low, high). Tasks are resampled; the draws of one task stay together.
    """
    difference = (a.right - b.right).reshape(a.n_tasks, -1).mean(axis=1)
    generator = np.random.default_rng(0)
    means = difference[generator.integers(0, len(difference), (rounds, len(difference)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def learn(tasks: Sequence[ReplayedTask], seed: int = 0, observed: Sequence[Row] = ()) -> Fitted:
    """Fit the default rule on recorded tasks and observed elections.

    Each recorded task counts three times with equal weight: with all candidates, and with draws of 30 and of 8.
    """
    rows = list(observed)
    for task in tasks:
        if not task.correct:
            continue
        for n, weight in ((None, 1.0), (30, 1.0 / DRAWS), (8, 1.0 / DRAWS)):
            for chosen in samples_of(task, n, seed + 1):
                evidence, correct = task.subset(chosen)
                row = election_row(task_key(task.task.prompt), evidence, correct.__getitem__, weight)
                rows += [row] if row is not None else []
    return fit(rows, list(dict.fromkeys(row.task for row in rows)), features.NAMES)


def election_row(key: str, evidence: Evidence, is_right: Callable[[int], bool], weight: float) -> Row | None:
    """Return what the default rule sees of one election; None where it sees no cluster.

    Clusters that keep fewer examples than others are left out, because they never win.

    Args:
        key: the `task_key` of the task.
        is_right: whether a candidate is right; asked once per cluster.
    """
    behaviour = behaviour_of(evidence)
    clusters = features.clusters_of(behaviour, evidence)
    if not clusters:
        return None
    first = np.array([int(members[0]) for members in clusters])
    kept = behaviour.constraints.passed[first]
    examples = kept.mean(axis=1) if kept.shape[1] else np.zeros(len(clusters))
    best = examples >= examples.max()
    return Row(
        key,
        features.matrix(behaviour, evidence, clusters)[best],
        right=np.array([float(is_right(int(candidate))) for candidate in first[best]]),
        alike=np.array([len(members) / behaviour.n_candidates for members in clusters])[best],
        log_probability=np.array(evidence.log_probabilities)[first[best]],
        weight=weight,
        n_candidates=behaviour.n_candidates,
        examples=float(examples.max()),
    )


def plot(results: Sequence[RuleResult], default: str, path: Path) -> None:
    """Plot precision against coverage, and reliability of the default rule."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5))
    for result in results:
        shares = np.linspace(0.05, 1.0, 39)
        main = result.rule == default
        left.plot(
            100 * shares,
            [100 * result.precision(share) for share in shares],
            label=result.rule,
            linewidth=3 if main else 1,
            zorder=3 if main else 2,
        )
    left.set(xlabel="tasks answered, most confident first (%)", ylabel="right (%)", ylim=(0, 100))
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    chosen = next(result for result in results if result.rule == default)
    index = np.minimum((chosen.confidence * 10).astype(int), 9)
    bins = [b for b in range(10) if (index == b).any()]
    xs = [chosen.confidence[index == b].mean() for b in bins]
    ys = [chosen.right[index == b].mean() for b in bins]
    sizes = [20 + 400 * float((index == b).mean()) for b in bins]
    right.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    right.scatter(xs, ys, s=sizes, label=f"{default} (area: share of tasks)")
    right.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    right.legend(fontsize=8, loc="upper left")
    right.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
