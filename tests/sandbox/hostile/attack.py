"""Run hostile programs, with limits that suit them."""

from __future__ import annotations

import os

import pytest

from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program

QUICK = Limits(probe_wall_s=0.4, job_wall_s=2.0, cpu_s=2, memory_bytes=256 * MIB)
STOPPED = {Status.SECCOMP, Status.EXCEPTION}
CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def attack(box: Sandbox, source: str, limits: Limits = QUICK) -> Outcome:
    """Run `f()` of a hostile program."""
    return whole(box, source, limits).outcomes[0]


def whole(box: Sandbox, source: str, limits: Limits = QUICK) -> JobResult:
    return box.run_one(Job(Program(source), (Call("f"),), limits))


def syscall(box: Sandbox, number: int, *arguments: str) -> Outcome:
    """Make one system call (x86-64 numbers); the value is its result."""
    call = ", ".join((str(number), *arguments))
    return attack(box, f"{CTYPES}def f():\n    return libc.syscall({call})")


only_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="raw system call numbers are x86-64's")
