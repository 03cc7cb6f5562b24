"""Turn outcomes into behaviour signatures: one small integer per candidate and probe.

Equal values of one probe share a non-negative label. A crash, an opaque value and a failure of the sandbox have
negative labels and never count as agreement. Expected values become tests, a pass/fail matrix. They are compared
like Python's `==` (`1 == 1.0 == True`), within the float tolerance of the canonical encoding.
The cost is linear in candidates x probes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sandbox.consensus.types import Evidence
from sandbox.outcome import Outcome, Status
from sandbox.program import Vote
from sandbox.values import Malformed, Value

CRASH, OPAQUE, UNKNOWN = -1, -2, -3
"""Labels for a crash, for a value that equals nothing, and for a failure of the sandbox itself."""

Labels = NDArray[np.int32]
Matrix = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tests:
    """The distinct pairs of probe and expected value.

    Each has the number of its asserts and the candidates that pass.
    """

    probes: NDArray[np.int64]
    """Probe index of each test, shape (n_tests,)."""
    counts: NDArray[np.int64]
    """Number of asserts of each test, shape (n_tests,)."""
    passed: Matrix
    """Shape (n_candidates, n_tests)."""

    def __len__(self) -> int:
        return len(self.probes)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The labels and test results that rules compute with.

    Shapes: n candidates, m probes.
    """

    labels: Labels
    """Shape (n, m); see the module's docstring."""
    values: Labels
    """Equal numbers for equal values, across all probes; -1 where a value is missing. Shape (n, m)."""
    tests: Tests
    """From generated asserts: weak."""
    constraints: Tests
    """From examples the author wrote."""

    @property
    def n_candidates(self) -> int:
        return int(self.labels.shape[0])

    @property
    def n_probes(self) -> int:
        return int(self.labels.shape[1])

    @property
    def answered(self) -> Matrix:
        """True where a candidate gave a comparable value, shape (n, m)."""
        return self.labels >= 0

    def voters(self) -> NDArray[np.intp]:
        """Return candidates that gave at least one comparable value.

        Without probes these are all candidates.
        """
        if self.n_probes == 0:
            return np.arange(self.n_candidates)
        return np.flatnonzero(self.answered.any(axis=1))

    def informative(self) -> NDArray[np.intp]:
        """Return probes on which at least two candidates gave different values.

        Where all agree a probe separates nothing; where all crash it is outside the specification.
        """
        if self.n_candidates == 0:
            return np.arange(0)
        high = self.labels.max(axis=0)
        low = np.where(self.answered, self.labels, np.iinfo(np.int32).max).min(axis=0)
        return np.flatnonzero((high >= 0) & (low < high))


def behaviour_of(evidence: Evidence) -> Behaviour:
    """Compute labels and test results of the evidence.

    Never raises, whatever the outcomes.
    """
    keys = [[_key(outcome) for outcome in row] for row in evidence.outcomes]
    n_probes = len(keys[0]) if keys else 0
    labels = np.full((len(keys), n_probes), CRASH, dtype=np.int32)
    numbers = np.full((len(keys), n_probes), -1, dtype=np.int32)
    all_values: dict[bytes, int] = {}
    values: list[list[bytes]] = []
    for probe in range(n_probes):
        known: dict[bytes | int, int] = {OPAQUE: OPAQUE, UNKNOWN: UNKNOWN, CRASH: CRASH}
        labels[:, probe] = [known.setdefault(row[probe], len(known) - 3) for row in keys]
        values.append([key for key in known if isinstance(key, bytes)])
        named = [all_values.setdefault(value, len(all_values)) for value in values[-1]]
        numbers[:, probe] = np.array([*named, -1], dtype=np.int32)[np.maximum(labels[:, probe], -1)]
    return Behaviour(
        labels,
        numbers,
        _tests(evidence.asserts, labels, values),
        _tests(evidence.constraints, labels, values),
    )


def _key(outcome: Outcome) -> bytes | int:
    """Return the key of an outcome: its result's canonical bytes.

    Printed text is added where nothing is returned. Without a comparable result the key is a negative label.
    """
    value = outcome.value
    if value is None or outcome.status is not Status.OK:
        return UNKNOWN if outcome.status is Status.INFRA else CRASH
    if value.opaque:
        return OPAQUE
    data = value.canonical
    if data[:1] == b"M":
        result = _result(value)
        if result.canonical != _none():
            return OPAQUE if result.opaque else result.canonical
        return data
    if outcome.stdout and data == _none():
        return data + outcome.stdout.encode("utf-8", "surrogatepass")
    return data


def _result(value: Value) -> Value:
    """Return the result without the changed arguments.

    Where there is a result, it alone is compared.
    """
    try:
        return value.result
    except (Malformed, ValueError):
        return value


@lru_cache(maxsize=1)
def _none() -> bytes:
    return Value.of(None).canonical


def _tests(votes: Sequence[Vote], labels: Labels, values: list[list[bytes]]) -> Tests:
    n, m = labels.shape
    counts: dict[tuple[int, bytes], int] = {}
    for vote in votes:
        if 0 <= vote.probe < m and not vote.expected.opaque:
            key = (vote.probe, loosely(vote.expected.canonical))
            counts[key] = counts.get(key, 0) + 1
    passed = np.zeros((n, len(counts)), dtype=np.bool_)
    loose = {probe: [loosely(value) for value in values[probe]] for probe in {p for p, _ in counts} if values}
    for column, (probe, expected) in enumerate(counts):
        equal = [label for label, value in enumerate(loose.get(probe, ())) if value == expected]
        for label in equal:
            passed[:, column] |= labels[:, probe] == label
    return Tests(
        np.array([probe for probe, _ in counts], dtype=np.int64),
        np.array(list(counts.values()), dtype=np.int64),
        passed,
    )


@lru_cache(maxsize=65_536)
def loosely(data: bytes) -> bytes:
    """Return canonical bytes that are equal exactly when `==` holds.

    `True`, `1` and `1.0` are one value.
    """
    try:
        return Value.of(_as_number(Value(data).python(), 0)).canonical
    except (Malformed, ValueError, TypeError, RecursionError, OverflowError):
        return data


def _as_number(value: object, depth: int) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if depth > 50:
        return value
    rebuild: dict[type, Callable[[list[object]], object]] = {
        list: list, tuple: tuple, set: set, frozenset: frozenset,
    }  # fmt: skip
    if type(value) in rebuild:
        assert isinstance(value, list | tuple | set | frozenset)
        return rebuild[type(value)]([_as_number(item, depth + 1) for item in value])
    if type(value) is dict:
        return {_as_number(k, depth + 1): _as_number(v, depth + 1) for k, v in value.items()}
    return value


def group(rows: NDArray[np.generic], members: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Group members with equal rows, in order of first appearance.

    `rows` has one row per member.
    """
    found: dict[bytes, list[int]] = {}
    packed = np.ascontiguousarray(rows)
    for row, member in zip(packed, members, strict=True):
        found.setdefault(row.tobytes(), []).append(int(member))
    return [np.array(items, dtype=np.intp) for items in found.values()]


_COMMENT = re.compile(r"#[^\n]*")
_SPACE = re.compile(r"\s+")


@lru_cache(maxsize=4096)
def normal_text(source: str) -> str:
    """Return the text without comments and repeated white space."""
    return _SPACE.sub(" ", _COMMENT.sub("", source)).strip()


def duplicates(sources: Sequence[str]) -> NDArray[np.int64]:
    """Count the candidates with the same text, for every candidate.

    Comments and white space do not count. Text is compared, not syntax trees: parsing 128 candidates would
    cost more than all else here together.
    """
    normal = [normal_text(source) for source in sources]
    counts: dict[str, int] = {}
    for text in normal:
        counts[text] = counts.get(text, 0) + 1
    return np.array([counts[text] for text in normal], dtype=np.int64)
