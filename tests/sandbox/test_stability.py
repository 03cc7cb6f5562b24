"""Test that exactly the outcomes that differ between two runs are marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.outcome import JobResult, Outcome, Status
from sandbox.stability import mark_unstable
from sandbox.values import Value

ONE = Outcome(Status.OK, Value.of(1), stdout="a")
FAILED = Outcome(Status.EXCEPTION, exception="ValueError", message="m", stdout="a")
SANDBOX_FAILED = Outcome(Status.INFRA)


@pytest.mark.parametrize(
    ("first", "second", "unstable"),
    [
        (ONE, replace(ONE, wall_s=9.0), False),
        (ONE, replace(ONE, value=Value.of(2)), True),
        (ONE, replace(ONE, stdout="b"), True),
        (ONE, FAILED, True),
        (FAILED, replace(FAILED, stdout="b", message="n"), False),
        (FAILED, replace(FAILED, exception="KeyError"), True),
        (ONE, SANDBOX_FAILED, False),
        (SANDBOX_FAILED, ONE, False),
    ],
)
def test_only_a_contradiction_is_unstable(first: Outcome, second: Outcome, unstable: bool) -> None:
    runs = [[JobResult(ONE, (ONE, outcome), tier=1)] for outcome in (first, second)]
    (result,) = mark_unstable(*runs)
    assert [outcome.unstable for outcome in result.outcomes] == [False, unstable]
