"""Compares a candidate's values with the reference's by EvalPlus's rules for MBPP+, outside the sandbox."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

from sandbox.outcome import Outcome, Status
from sandbox.values import Generated, Value

RTOL = 1e-7
"""Relative tolerance beside the absolute one: numpy's assert_allclose, which EvalPlus uses."""
FLOAT_ATOL = 1e-6
"""Absolute tolerance; floats are never compared exactly."""


class Oracle(Enum):
    """The rule by which the values of a task are compared."""

    EQUAL = "equal"
    AS_SETS = "as sets"
    """The order of the result does not matter: the task's own assert wraps the call in set()."""
    NOT_NONE = "not None"
    """A match object and None count as True and False."""
    EQUAL_OR_ALL_TRUE = "equal, or always True"
    """Mbpp/164: its statement can be read so that every pair is equivalent."""
    EQUAL_OR_ALL_ZERO = "equal, or always 0"
    """Mbpp/295: its statement can be read so that every divisor is left out of the sum."""
    CLOSE = "close"
    """The task gives its own absolute tolerance, 1e-4."""


SPECIAL = {"Mbpp/164": Oracle.EQUAL_OR_ALL_TRUE, "Mbpp/295": Oracle.EQUAL_OR_ALL_ZERO}
MATCH_OBJECT_FUNCTIONS = {"check_str", "text_match_three", "text_starta_endb"}


def oracle_of(task_id: str, function: str, prompt: str, atol: float) -> Oracle:
    """Return the rule for a task."""
    if task_id in SPECIAL:
        return SPECIAL[task_id]
    if function in MATCH_OBJECT_FUNCTIONS:
        return Oracle.NOT_NONE
    if re.search(rf"\bassert set\({re.escape(function)}\(", prompt):
        return Oracle.AS_SETS
    return Oracle.CLOSE if atol > 0 else Oracle.EQUAL


def passes(oracle: Oracle, expected: Sequence[Outcome], got: Sequence[Outcome]) -> bool:
    """Return whether every value is right.

    Inputs without a value of the reference are ignored.
    """
    pairs = [(e, g) for e, g in zip(expected, got, strict=True) if e.status is Status.OK]
    if not pairs or any(g.status is not Status.OK for _, g in pairs):
        return False
    values = [(_python(e.value), _python(g.value)) for e, g in pairs]
    if all(_matches(oracle, e, g) for e, g in values):
        return True
    if oracle is Oracle.EQUAL_OR_ALL_TRUE:
        return all(g is True for _, g in values)
    if oracle is Oracle.EQUAL_OR_ALL_ZERO:
        return all(g == 0 for _, g in values)
    return False


def _python(value: Value | None) -> Any:
    assert value is not None, "an outcome that is OK has a value"
    return value.result.python()


def _matches(oracle: Oracle, expected: Any, got: Any) -> bool:
    if oracle is Oracle.AS_SETS:
        try:
            return set(_plain(expected)) == set(_plain(got))
        except TypeError:
            return same(expected, got, FLOAT_ATOL)
    return same(expected, got, 1e-4 if oracle is Oracle.CLOSE else FLOAT_ATOL)


def same(expected: Any, got: Any, atol: float) -> bool:
    """Compare by `==`, with a tolerance where a float is expected.

    Opaque values equal nothing.
    """
    expected, got = _plain(expected), _plain(got)
    if isinstance(expected, float | complex) and isinstance(got, int | float | complex):
        # Where the reference returned NaN, only NaN is right.
        if expected != expected or got != got:
            return expected != expected and got != got
        return expected == got or _close(expected, got, atol)
    if isinstance(expected, list | tuple):
        return (
            type(expected) is type(got)
            and len(expected) == len(got)
            and all(same(e, g, atol) for e, g in zip(expected, got, strict=True))
        )
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(expected[k], got[k], atol) for k in expected)
    return bool(expected == got)


def _close(expected: complex, got: complex, atol: float) -> bool:
    try:
        difference = abs(expected - got)
        return math.isfinite(difference) and difference <= atol + RTOL * abs(expected)
    except OverflowError:  # an integer, or the size of a complex number, beyond all floats
        return False


def _plain(value: Any) -> Any:
    """Return a generator's items as a list, other values unchanged."""
    return list(value.items) if isinstance(value, Generated) else value
