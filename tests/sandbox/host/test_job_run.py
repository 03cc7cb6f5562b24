"""Test that a child that hangs or dies costs one probe only.

The rest of the job is still answered.
"""

from __future__ import annotations

import marshal
import struct

import pytest

from sandbox.host import python
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job, Program


def test_probes_after_a_hang_are_still_answered(box: Sandbox) -> None:
    source = "def f(n):\n    while n == 2: pass\n    return n"
    limits = Limits(probe_wall_s=0.3, job_wall_s=3)
    result = box.run_one(Job(Program(source), tuple(Call("f", (n,)) for n in range(5)), limits))
    assert [o.status.value for o in result.outcomes] == ["ok", "ok", "wall", "ok", "ok"]


def test_a_hang_in_native_code_ends_its_own_probe_only(box: Sandbox) -> None:
    source = "def f(n): return len(str(7 ** 10_000_000)) if n == 2 else n\nimport sys\nsys.set_int_max_str_digits(0)"
    limits = Limits(probe_wall_s=0.3, job_wall_s=3)
    result = box.run_one(Job(Program(source), tuple(Call("f", (n,)) for n in range(5)), limits))
    assert [o.status.value for o in result.outcomes] == ["ok", "ok", "wall", "ok", "ok"]


def test_the_number_of_dying_children_is_bounded(box: Sandbox) -> None:
    result = box.run_one(Job(Program("import os\ndef f(): os._exit(1)"), tuple(Call("f") for _ in range(40))))
    assert {o.status for o in result.outcomes} == {Status.NO_RESULT}


def test_job_wall_is_reported_for_probes_not_reached(box: Sandbox) -> None:
    limits = Limits(probe_wall_s=0.2, job_wall_s=0.5)
    result = box.run_one(
        Job(Program("def f():\n    while True: pass"), tuple(Call("f") for _ in range(20)), limits)
    )
    assert {o.status for o in result.outcomes} == {Status.WALL}
    assert result.wall_s < 5


def test_a_child_that_cannot_be_set_up_is_a_failure_of_the_sandbox(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*_: object) -> bytes:
        blob = marshal.dumps((1, 1 << 70, (True, 1, "x = 1", 1, 1, 0, None, b"")), 2)
        return struct.pack("<I", len(blob)) + blob

    monkeypatch.setattr(python, "job_message", impossible)
    result = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
    assert (result.load.status, result.outcomes[0].status) == (Status.INFRA, Status.INFRA)
