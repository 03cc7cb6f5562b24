"""Test the public interface: one result per job, in order.

Bad input is refused.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import pytest

from sandbox.errors import (
    ArgumentError,
    InterpreterMissing,
    ProgramError,
    SandboxError,
    SandboxUnavailable,
)
from sandbox.host import jail
from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Probe, Program, Script, Sequence
from sandbox.values import Value
from tests.sandbox.helpers import answers


async def test_async_interface_reports_progress_and_keeps_the_order(tier_1: Sandbox) -> None:
    seen: list[int] = []
    jobs = [Job(Program(f"def f(): return {n}"), (Call("f"),)) for n in range(20)]
    results = await tier_1.arun(jobs, on_progress=lambda index, _: seen.append(index))
    assert [r.outcomes[0].value for r in results] == [Value.of(n) for n in range(20)]
    assert sorted(seen) == list(range(20))
    streamed = {index for index, _ in tier_1.stream(iter(jobs))}
    assert streamed == set(range(20))


def test_a_stream_yields_running_jobs_before_it_refuses_one(tier_1: Sandbox) -> None:
    good = Job(Program("def f(): return 1"), (Call("f"),))
    batch = tier_1.stream(iter([good, good, good, Job(Program("x = 1"), (Call("f", (object(),)),)), good]))
    assert sorted(next(batch)[0] for _ in range(3)) == [0, 1, 2]
    with pytest.raises(ArgumentError):
        next(batch)
    with pytest.raises(SandboxError, match="in_flight"):
        next(tier_1.stream(iter([good]), in_flight=0))


async def test_cancelling_leaves_the_sandbox_healthy(tier_1: Sandbox) -> None:
    forever = Limits(probe_wall_s=60, job_wall_s=60, cpu_s=60)
    hang = Job(Program("def f():\n    while True: pass"), (Call("f"),), forever)
    task = asyncio.create_task(tier_1.arun([hang] * 4))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if not tier_1.busy():
            break
        await asyncio.sleep(0.01)
    assert not tier_1.busy(), "a cancelled request still uses the processor"
    good = await tier_1.arun([Job(Program("x = 1"), (Expression("x"),))])
    assert good[0].outcomes[0].value == Value.of(1)


def test_bad_input_is_a_typed_error_before_anything_runs(tier_1: Sandbox) -> None:
    class Text(str):
        __slots__ = ()

    cycle: list[object] = []
    cycle.append(cycle)
    for bad in (object(), Text("x"), [Text("x")], {"a": {print}}, cycle):
        with pytest.raises(ArgumentError):
            tier_1.run([Job(Program("def f(x): pass"), (Call("f", (bad,)),))])
    for source in ("def f(:", "x = = 1", "\0"):
        with pytest.raises(ProgramError):
            tier_1.check([Job(Program(source), ())])
    with pytest.raises(ProgramError, match="cobol"):
        tier_1.run([Job(Program("x", "cobol"), ())])
    with pytest.raises(InterpreterMissing, match="no-such-python"):
        Sandbox(1, "no-such-python")
    with pytest.raises(SandboxError):
        Sandbox(0)


class Text(StrEnum):
    """A subclass of `str`, which cannot be sent into the jail."""

    F = "f"


@pytest.mark.parametrize(
    "probe",
    [
        Call(Text.F),
        Call(print),  # type: ignore[arg-type]
        Call("f", 5),  # type: ignore[arg-type]
        Call("f", (), {1: 2}),  # type: ignore[dict-item]
        Call("f", (), {print: 2}),  # type: ignore[dict-item]
        Call("f", (), [("a", 1)]),  # type: ignore[arg-type]
        Sequence(Call(Text.F)),
        Sequence(Call("f"), (Call(Text.F),)),
        Sequence(Call("f"), ("step",)),  # type: ignore[arg-type]
        Sequence("f"),  # type: ignore[arg-type]
        Expression(Text.F),
        Check(b"f()"),  # type: ignore[arg-type]
        Script(Text.F),
    ],
    ids=repr,
)
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_probes_that_are_not_plain_text_and_data_are_refused(
    tier_1: Sandbox, probe: Probe, language: str
) -> None:
    if language == "javascript" and shutil.which("node") is None:
        pytest.skip("Node is not installed")
    with pytest.raises(ArgumentError, match="probe 1"):
        tier_1.run([Job(Program("def f(): return 1", language), (Expression("1"), probe))])


@pytest.mark.parametrize("source", [Text.F, b"x = 1", None])
def test_programs_that_are_not_plain_text_are_refused(tier_1: Sandbox, source: str) -> None:
    with pytest.raises(ProgramError, match="text"):
        tier_1.run([Job(Program(source), ())])


def test_without_bubblewrap_nothing_runs_and_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail.shutil, "which", lambda _: None)
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        Sandbox(1)


def test_a_closed_sandbox_refuses_jobs() -> None:
    box = Sandbox(1)
    box.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        box.run([Job(Program("x = 1"), ())])


def test_programs_of_one_interpreter_see_its_site_packages(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "only_here.py").write_text("answer = 42\n")
    with Sandbox(1, str(tmp_path / "env")) as box:
        assert answers(box, "import only_here", Expression("only_here.answer")) == [42]
        assert answers(box, "", Expression(f"open({str(site / 'x')!r}, 'w')"))[0] != 42
