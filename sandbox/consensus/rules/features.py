"""Compute the features of the default rule.

They are a few numbers per output cluster, comparable within one problem. Every feature is a sum over
candidates x probes or candidates x tests, so the cost is linear in both. They were chosen out of some fifty
by the out-of-fold likelihood of the right cluster on recorded tasks
(`docs/experiments/2026-11-21-consensus-features.md` names those that were left out).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.rules.common import Members, fluency, order
from sandbox.consensus.rules.papers import mean_agreement
from sandbox.consensus.signature import Behaviour, Labels, Tests, duplicates, group, normal_text
from sandbox.consensus.types import Evidence

Floats = NDArray[np.float64]

NAMES = (
    "log_texts",
    "agreement",
    "log_support",
    "nearly_constant",
    "constant",
    "brevity",
    "ends_in_return",
)
CORE = 0.64
"""Least relevance of core probes: four in five candidates answer (0.8 squared, see `probe_relevance`)."""
FEW = 80
"""Characters added to every text's length: among texts of a line or two, differences mean little."""


def clusters_of(behaviour: Behaviour, evidence: Evidence) -> list[Members]:
    """Cluster candidates by equal outputs.

    In a cluster the most fluent comes first, then the text sampled most often.
    """
    voters = behaviour.voters()
    copies, fluent = duplicates(evidence.sources), fluency(evidence)
    return [order(members, fluent, copies) for members in group(behaviour.labels[voters], voters)]


def matrix(behaviour: Behaviour, evidence: Evidence, clusters: list[Members]) -> Floats:
    """Return the features, shape (n_clusters, len(NAMES))."""
    if not clusters:
        return np.zeros((0, len(NAMES)))
    first = np.array([members[0] for members in clusters], dtype=np.intp)
    share = 1.0 / duplicates(evidence.sources)  # copies of one text count as one vote together
    relevance = probe_relevance(behaviour)
    support = _support(behaviour.tests)
    modal, one_value = _constancy(behaviour, relevance, first)
    brevity, returns = _texts(evidence.sources)
    columns = (
        np.log(_sums(share, clusters)),
        mean_agreement(behaviour.labels)[first],
        np.log(support[first] + 0.02),
        modal > 0.95,
        one_value,
        _sums(brevity * share, clusters) / _sums(share, clusters),
        _sums(returns * share, clusters) / _sums(share, clusters),
    )
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _sums(values: Floats, clusters: list[Members]) -> Floats:
    """Sum the members' values for each cluster."""
    starts = np.cumsum([0, *(len(members) for members in clusters[:-1])])
    return np.asarray(np.add.reduceat(values[np.concatenate(clusters)], starts))


def probe_relevance(behaviour: Behaviour) -> Floats:
    """Return the weight of each probe, shape (m,).

    It is 0 where candidates do not differ, and lower the more of them crash.
    """
    weight = np.zeros(behaviour.n_probes)
    informative = behaviour.informative()
    weight[informative] = behaviour.answered.mean(axis=0)[informative] ** 2
    return weight


def _support(tests: Tests) -> Floats:
    """Return the share of generated asserts that each candidate passes.

    Repeated asserts count repeatedly.
    """
    total = tests.counts.sum()
    return np.asarray(tests.passed @ tests.counts / total) if total > 0 else np.zeros(len(tests.passed))


def _constancy(behaviour: Behaviour, relevance: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Measure how constant the answers of candidates are.

    Returns the share of the most frequent answer, and whether the core probes have one answer only. Many
    wrong candidates agree because they are stubs that always return the same value.
    """
    informative = np.flatnonzero(relevance)
    core = np.flatnonzero(relevance >= CORE)
    core = core if len(core) else np.arange(behaviour.n_probes)
    values = behaviour.values[rows]
    runs = np.sort(values[:, informative], axis=1)
    return _longest_run(runs) / np.maximum((runs >= 0).sum(axis=1), 2), _one_value(values[:, core])


def _longest_run(ordered: Labels) -> Floats:
    """Count the most frequent non-negative value of each row.

    Each row is in ascending order.
    """
    longest, current = np.zeros(len(ordered)), np.zeros(len(ordered))
    before = np.full(len(ordered), -1)
    for column in ordered.T:
        current = np.where(column < 0, 0, np.where(column == before, current + 1, 1))
        longest = np.maximum(longest, current)
        before = column
    return longest


def _one_value(values: Labels) -> Floats:
    """Return for each row whether its non-negative values are all equal."""
    low = np.where(values >= 0, values, np.iinfo(np.int32).max).min(axis=1, initial=np.iinfo(np.int32).max)
    return np.asarray(values.max(axis=1, initial=-1) <= low, dtype=np.float64)


def _texts(sources: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return the brevity of each text, and whether it ends in `return`.

    Brevity is log(length / median length), at most 0. Comments, white space and the shared start and end are
    left out: they are the surrounding document.
    """
    texts = [normal_text(source) for source in sources]
    # A start shared by the first and the last text in order is shared by all.
    shared = _common_start(min(texts), max(texts))
    backwards = [text[shared:][::-1] for text in texts]
    shared_end = _common_start(min(backwards), max(backwards))
    length = np.log(np.array([len(text) - shared_end + FEW for text in backwards], dtype=np.float64))
    last = [source.rstrip().rpartition("\n")[2].lstrip() for source in sources]
    return np.minimum(length - np.median(length), 0.0), np.array(
        [float(x.startswith("return")) for x in last]
    )


def _common_start(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
