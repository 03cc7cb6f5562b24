"""Test that limits are checked before anything runs."""

from __future__ import annotations

import math

import pytest

from sandbox.errors import LimitsError
from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.program import Expression, Job, Program, Script
from sandbox.values import Value


@pytest.mark.parametrize(
    "wrong",
    [
        {"probe_wall_s": 0}, {"probe_wall_s": math.nan}, {"probe_wall_s": "3"}, {"job_wall_s": 0.1},
        {"job_wall_s": math.inf}, {"probe_wall_s": 1e10, "job_wall_s": 1e10}, {"probe_wall_s": True},
        {"cpu_s": -1}, {"cpu_s": "3"}, {"cpu_s": 1e30}, {"cpu_s": math.inf}, {"cpu_s": 1.5}, {"cpu_s": 10**9},
        {"memory_bytes": 1}, {"memory_bytes": 5e8}, {"memory_bytes": 2**70}, {"memory_bytes": None},
        {"result_bytes": 2**40}, {"stdout_bytes": 0}, {"stdout_bytes": 1e3},
    ],
    ids=repr,
)  # fmt: skip
def test_limits_outside_their_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LimitsError, match="|".join(wrong)):
        Limits(**wrong)  # type: ignore[arg-type]


def test_the_largest_limits_can_be_set(box: Sandbox) -> None:
    day, mib = 86_400, 1 << 20
    limits = Limits(day, day, day, (1 << 46), 1024 * mib, 1024 * mib)
    result = box.run_one(Job(Program("x = 1"), (Expression("x"), Script()), limits))
    assert [o.value for o in result.outcomes] == [Value.of(1), Value.of("")]
