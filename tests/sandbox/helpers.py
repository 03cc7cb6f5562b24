"""Provide helpers that several tests of the sandbox share."""

from __future__ import annotations

from sandbox.host.python import PythonRuntime
from sandbox.host.supervisor import Supervisor
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Program, Script, Sequence


def answers(
    box: Sandbox, source: str, *probes: Call | Check | Expression | Sequence | Script
) -> list[object]:
    """Return the value of each probe, or its status and exception."""
    result = box.run_one(Job(Program(source), probes))
    return [
        o.value.python() if o.value is not None else (o.status.value, o.exception) for o in result.outcomes
    ]


def supervisor_of(box: Sandbox) -> Supervisor:
    """Return the supervisor of the zygotes, to make it fail in tests."""
    runtime = box._runtimes["python"]
    assert isinstance(runtime, PythonRuntime)
    return runtime.supervisor
