"""What the default rule looks at: a few numbers for each output cluster, all comparable within one problem.

Every feature is a sum over candidates x probes or candidates x tests, so the cost is linear in both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus import Evidence
from sandbox.rules.common import Members, fluency, order
from sandbox.rules.literature import mean_agreement
from sandbox.signature import Behaviour, Labels, Tests, duplicates, group

Floats = NDArray[np.float64]

NAMES = (
    "answers_anywhere",
    "answers",
    "expected_type",
    "common_type",
    "log_texts",
    "log_core_texts",
    "log_asserted_texts",
    "supported_agreement",
    "assert_support",
)
CORE = 0.64
"""Probes that at least four in five candidates answer (0.8 squared, see `probe_relevance`) are the core."""


def clusters_of(behaviour: Behaviour, evidence: Evidence) -> list[Members]:
    """Candidates with equal outputs; first the most fluent one, then the one whose text was sampled most."""
    voters = behaviour.voters()
    copies, fluent = duplicates(evidence.sources), fluency(evidence)
    return [order(members, fluent, copies) for members in group(behaviour.labels[voters], voters)]


def matrix(behaviour: Behaviour, evidence: Evidence, clusters: list[Members]) -> Floats:
    """One row a cluster, one column a name in `NAMES`."""
    first = np.array([members[0] for members in clusters], dtype=np.intp)
    relevance = probe_relevance(behaviour)
    share = 1.0 / duplicates(evidence.sources)
    tests = behaviour.tests
    core = np.flatnonzero(relevance >= CORE)
    support = _support(tests)
    columns = (
        behaviour.answered.mean(axis=1) if behaviour.n_probes else np.ones(behaviour.n_candidates),
        _weighted(behaviour.answered, relevance),
        _expected_type(behaviour),
        _common_type(behaviour),
        np.log(_alike(behaviour.labels, share)),
        np.log(_alike(behaviour.labels[:, core], share)),
        np.log(_alike(behaviour.labels[:, np.unique(tests.probes)], share)),
        _agreement(behaviour, relevance, support**2 + 1e-6),
        support,
    )
    return np.stack([np.asarray(column, dtype=np.float64)[first] for column in columns], axis=1)


def probe_relevance(behaviour: Behaviour) -> Floats:
    """Weight of each probe: 0 where candidates do not differ, less the more of them crash (outside the spec)."""
    weight = np.zeros(behaviour.n_probes)
    informative = behaviour.informative()
    weight[informative] = behaviour.answered.mean(axis=0)[informative] ** 2
    return weight


def _weighted(values: NDArray[np.bool_], weight: Floats) -> Floats:
    total = weight.sum()
    return np.asarray(values @ weight / total) if total > 0 else np.ones(len(values))


def _alike(labels: Labels, weight: Floats) -> Floats:
    """For every candidate the total weight of the candidates with equal labels."""
    sizes = np.zeros(len(labels))
    for members in group(labels, np.arange(len(labels))):
        sizes[members] = weight[members].sum()
    return np.maximum(sizes, 1e-6)


def _agreement(behaviour: Behaviour, relevance: Floats, weight: Floats) -> Floats:
    """Mean agreement with the other candidates, probes weighted by relevance, candidates by `weight`."""
    used = np.flatnonzero(relevance)
    if not len(used):
        return np.ones(behaviour.n_candidates)
    return mean_agreement(behaviour.labels[:, used], weight, relevance[used])


def _support(tests: Tests) -> Floats:
    """Share of the generated asserts, repetitions included, that a candidate passes."""
    total = tests.counts.sum()
    return np.asarray(tests.passed @ tests.counts / total) if total > 0 else np.zeros(len(tests.passed))


def _expected_type(behaviour: Behaviour) -> Floats:
    """How often the types of the candidate's values are the types that the asserts expect."""
    expected = np.bincount(behaviour.tests.kinds, weights=behaviour.tests.counts, minlength=256)
    return _type_score(behaviour, np.asarray(expected, dtype=np.float64))


def _common_type(behaviour: Behaviour) -> Floats:
    """How often the types of the candidate's values are the types that most candidates return."""
    counts = np.bincount(behaviour.kinds.ravel(), minlength=256).astype(np.float64)
    counts[[0, ord("N")]] = 0.0
    return _type_score(behaviour, counts)


def _type_score(behaviour: Behaviour, counts: Floats) -> Floats:
    if counts.sum() == 0 or behaviour.n_probes == 0:
        return np.zeros(behaviour.n_candidates)
    counts = counts.copy()
    counts[0] = 0.0
    answers = np.maximum((behaviour.kinds > 0).sum(axis=1), 1)
    return np.asarray((counts / counts.sum())[behaviour.kinds].sum(axis=1) / answers)
