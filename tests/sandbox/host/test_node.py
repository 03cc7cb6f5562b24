"""Test JavaScript: the same probes, frames and outcomes as Python."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.errors import ArgumentError, ProgramError, SandboxUnavailable
from sandbox.host import node as javascript
from sandbox.host.interpreter import locate
from sandbox.host.jail import JailConfig
from sandbox.host.job_run import JobRun
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Probe, Program, Script, Sequence
from sandbox.values import Mutated, Value

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=20.0, cpu_s=20)
PATIENT = Limits(probe_wall_s=200.0, job_wall_s=200.0, cpu_s=200)
SLEEP = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, "
HANG = f"{SLEEP}Infinity);"


def run(box: Sandbox, source: str, *probes: Probe, limits: Limits = LIMITS) -> JobResult:
    return box.run_one(Job(Program(source, "javascript"), probes, limits))


def values(result: JobResult) -> list[object]:
    return [
        o.value.python() if o.value is not None else (o.status.value, o.exception) for o in result.outcomes
    ]


def nodes() -> list[int]:
    """List the jails of Node that this process has not yet reaped."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for pid in (task / "children").read_text(encoding="ascii").split():
                if b"driver.js" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def marked(mark: bytes) -> list[int]:
    """List the host's processes with `mark` in their environment or command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def until(condition: Callable[[], bool]) -> bool:
    """Wait up to 30 seconds for a condition; return its last value."""
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_the_same_behaviour_is_the_same_value_in_both_languages(tier_1: Sandbox) -> None:
    probes = (Call("f", ([3, 1, 2],)), Call("f", ([],)), Call("f", ([0.5, -2],)))
    js = run(
        tier_1,
        "function f(xs) { return {total: xs.reduce((a, b) => a + b, 0), twice: xs.map(x => x * 2)}; }",
        *probes,
    )
    python = "def f(xs): return {'twice': [x * 2 for x in xs], 'total': sum(xs)}"
    py = tier_1.run_one(Job(Program(python), probes, LIMITS))
    assert [o.value for o in js.outcomes[:2]] == [o.value for o in py.outcomes[:2]]
    assert js.outcomes[0].value == Value.of({"total": 6, "twice": [6, 2, 4]})


def test_every_kind_of_probe_works(tier_1: Sandbox) -> None:
    source = (
        "class Stack { constructor() { this.xs = []; }\n"
        "push(x) { this.xs.push(x); return this; } pop() { return this.xs.pop(); } }\n"
        "function grow(xs) { xs.push(1); return 0; }\nasync function later() { return 5; }\n"
        "function* count() { let n = 0; while (true) yield n++; }\nfunction fail() { throw new TypeError('no'); }"
    )
    steps = (Call("push", (1,)), Call("pop"))
    probes = (
        Call("grow", ([],)),
        Call("later"),
        Call("count"),
        Call("fail"),
        Expression("2 ** 70"),
        Check("1"),
    )
    grown, later, count, failed, power, checked, stack = values(
        run(tier_1, source, *probes, Sequence(Call("Stack"), steps))
    )
    assert isinstance(grown, Mutated)
    assert (later, failed, checked) == (5, ("exception", "TypeError"), None)
    assert power == pytest.approx(2.0**70)
    assert count.more  # type: ignore[attr-defined]
    assert repr(stack) == "[<self >, 1, <Stack xs=[]>]"


def test_scripts_read_stdin_and_print(tier_1: Sandbox) -> None:
    source = "const n = parseInt(require('fs').readFileSync(0, 'utf8')); console.log(n * 2);"
    assert values(run(tier_1, source, Script("21\n"), Script("4"))) == ["42\n", "8\n"]


def test_hostile_programs_are_stopped(tier_1: Sandbox) -> None:
    source = (
        "const fs = require('fs'), cp = require('child_process');\n"
        "function read() { return fs.readFileSync('/etc/passwd', 'utf8'); }\n"
        "function write() { fs.writeFileSync('/tmp/x', 'x'); return 1; }\n"
        "function shell() { return String(cp.execSync('id')); }\nfunction hang() { while (true); }\n"
        "function leave() { process.reallyExit(0); }\n"
        "async function net() { const s = require('net').connect(80, '1.1.1.1');\n"
        "await new Promise((ok, no) => s.on('connect', ok).on('error', no)); return 1; }"
    )
    names = ("read", "write", "shell", "net", "leave", "hang")
    limits = Limits(probe_wall_s=1.0, job_wall_s=30.0, cpu_s=30)
    result = run(tier_1, source, *(Call(name) for name in names), limits=limits)
    assert [o.status for o in result.outcomes] == [Status.EXCEPTION] * 4 + [Status.NO_RESULT, Status.WALL]


def test_programs_that_do_not_compile_and_bad_arguments_are_refused(tier_1: Sandbox) -> None:
    assert run(tier_1, "function f( {", Call("f")).load.exception == "SyntaxError"
    for bad in ((1,), {1: 2}, b"x", {1}, math.nan, [-math.inf], 2**53, {"n": -(2**60)}):
        with pytest.raises(ArgumentError):
            run(tier_1, "function f(x) {}", Call("f", (bad,)))
    assert values(run(tier_1, "function f(x) { return x; }", Call("f", (2**53 - 1,)))) == [2**53 - 1]


# The resources of a program


@pytest.mark.parametrize(
    "source",
    [
        "while (true) kept.push(Buffer.alloc(1 << 24, 1));",
        "while (true) kept.push(new SharedArrayBuffer(1 << 24));",
        "while (true) { kept.push(new ArrayBuffer(0, {maxByteLength: 1 << 24})); kept.at(-1).resize(1 << 24); }",
        "while (true) kept.push({ n: kept.length });",
        "while (true) kept.push(String.fromCharCode(...new Array(1 << 16).fill(kept.length & 255)));",
        "new Uint8Array(2 ** 33);",
        "const { Worker } = require('worker_threads');\n"
        f"for (let i = 0; i < 64; i++) new Worker('const k = []; while (true) k.push([0])', {{ eval: true }}); {HANG}",
    ],
    ids=["buffers", "shared", "resizable", "objects", "strings", "at-once", "threads"],
)
def test_memory_is_limited_inside_and_outside_of_the_heap(tier_1: Sandbox, source: str) -> None:
    limits = Limits(probe_wall_s=20.0, job_wall_s=20.0, cpu_s=20, memory_bytes=64 * MIB)
    result = run(tier_1, f"function f() {{ const kept = []; {source} }}", Call("f"), limits=limits)
    # Where it dies after its answer, the answer is void.
    assert result.outcomes[0].status in (Status.EXCEPTION, Status.SIGNAL, Status.PROTOCOL)
    assert values(run(tier_1, "", Expression("1"))) == [1]


def test_memory_within_the_limit_can_be_used(tier_1: Sandbox) -> None:
    limits = Limits(probe_wall_s=20.0, job_wall_s=20.0, cpu_s=20, memory_bytes=64 * MIB)
    for source in (
        "Buffer.alloc(48 << 20, 1).length >> 20",
        "Array.from({length: 48}, () => new Array(1 << 16).fill(0)).length",
    ):
        assert values(run(tier_1, "", Expression(source), limits=limits)) == [48]


@pytest.mark.parametrize(
    "attempt",
    [
        "cp.spawnSync(process.execPath, ['-v'])",
        "cp.execFileSync(process.execPath, ['-v'])",
        "cp.fork('/x')",
        *(
            f"process.kill({whom}, 'SIG{name}')"
            for whom in ("process.pid", "-1")
            for name in ("KILL", "STOP")
        ),
    ],
)
def test_a_program_cannot_start_or_signal_processes(tier_1: Sandbox, attempt: str) -> None:
    source = (
        "const cp = require('child_process');\n"
        f"function f() {{ try {{ return {attempt}.error.code; }} catch (error) {{ return error.code; }} }}"
    )
    assert values(run(tier_1, source, Call("f"))) == ["EPERM"]


def test_nothing_can_be_written(tier_1: Sandbox) -> None:
    for folder in ("/", "/tmp", "/etc"):
        attempt = Expression(
            f"(() => {{ try {{ require('fs').mkdirSync('{folder}/x'); }} catch (e) {{ return e.code; }} }})()"
        )
        assert values(run(tier_1, "", attempt)) == ["EROFS"]


# The end of every process and of every job


@pytest.mark.slow
def test_a_program_that_closes_its_channel_and_stays_is_ended(tier_1: Sandbox) -> None:
    result = run(tier_1, f"require('fs').closeSync(+process.argv[3]); {HANG}", Call("f"))
    assert [o.status for o in (result.load, *result.outcomes)] == [Status.WALL] * 2
    assert nodes() == []


@pytest.mark.slow
def test_unread_standard_input_does_not_block(tier_1: Sandbox) -> None:
    assert run(tier_1, HANG, Script("x" * 300_000)).outcomes[0].status is Status.WALL
    assert values(run(tier_1, "console.log(1);", Script("x" * 300_000))) == ["1\n"]


@pytest.mark.parametrize("code", [1, 193, 200, 255])
def test_an_exit_code_is_not_confused_with_a_signal(tier_1: Sandbox, code: int) -> None:
    ending = run(tier_1, "", Expression(f"process.reallyExit({code})")).outcomes[0]
    assert (ending.status, ending.message) == (Status.NO_RESULT, f"the process exited with code {code}")


def test_a_program_cannot_imitate_a_kill_from_outside(tier_1: Sandbox) -> None:
    for code in (137, 256 + 137, 137 - 256):
        ending = run(tier_1, "", Expression(f"process.reallyExit({code})")).outcomes[0]
        assert ending.status is Status.SECCOMP


@pytest.mark.slow
def test_used_up_cpu_time_is_a_failure_of_the_program(tier_1: Sandbox) -> None:
    limits = Limits(probe_wall_s=20.0, job_wall_s=20.0, cpu_s=1)
    for source in ("", "process.on('SIGXCPU', () => 0);"):
        result = run(tier_1, source, Expression("(() => { while (true); })()"), limits=limits)
        assert result.outcomes[0].status is Status.CPU


def test_a_node_killed_from_outside_is_started_again(tier_1: Sandbox) -> None:
    with ThreadPoolExecutor(1) as caller:
        result = caller.submit(run, tier_1, f"{SLEEP}1000);", Expression("5"))
        assert until(lambda: bool(nodes()))
        os.kill(nodes()[0], signal.SIGKILL)
        assert values(result.result()) == [5]


@pytest.mark.parametrize(
    "broken",
    [lambda *_: ["/nowhere/bwrap"], lambda *_: ["/bin/false"], lambda *_: 1 / 0],
    ids=["missing", "failing", "bug"],
)
def test_a_job_ends_as_infra_where_node_cannot_run(
    tier_1: Sandbox, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., list[str]]
) -> None:
    monkeypatch.setattr(javascript, "_command", broken)
    result = run(tier_1, "", Expression("1"), Expression("2"))
    assert [o.status for o in (result.load, *result.outcomes)] == [Status.INFRA] * 3


def test_no_descriptor_is_closed_twice_or_kept(tier_1: Sandbox) -> None:
    run(tier_1, "", Expression("1"))
    before = sorted(os.listdir("/proc/self/fd"))
    for source in ("", HANG, "require('fs').closeSync(+process.argv[2])", "process.reallyExit(0)"):
        run(tier_1, source, Script("x" * 300_000), limits=Limits())
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_cancelling_ends_the_running_node(tier_1: Sandbox) -> None:
    job = Job(Program(HANG, "javascript"), (Call("f"),), PATIENT)
    waiting = asyncio.create_task(tier_1.arun([job] * 4))  # two run, two wait
    assert await asyncio.to_thread(until, lambda: len(nodes()) == 2)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert values(await asyncio.to_thread(run, tier_1, "", Expression("1"))) == [1]
    assert await asyncio.to_thread(until, lambda: not nodes())


def test_closing_ends_jobs_as_infra_and_refuses_new_ones(tier_1: Sandbox) -> None:
    job = Job(Program(HANG, "javascript"), (Call("f"),), PATIENT)
    with ThreadPoolExecutor(1) as caller:
        box = Sandbox(1, force_tier=1)
        results = caller.submit(box.run, [job, job])
        assert until(lambda: bool(nodes()))
        box.close()
        assert [o.status for r in results.result() for o in (r.load, *r.outcomes)] == [Status.INFRA] * 4
    assert nodes() == []
    with pytest.raises(SandboxUnavailable, match="closed"):
        box.run_one(job)


@pytest.mark.slow
def test_closing_while_a_jail_is_built_leaves_nothing_running(
    tier_1: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"ucoder-test-{os.getpid()}-{time.monotonic_ns()}".encode()
    command = javascript._command

    def marking(*args: object) -> list[str]:
        jail, *rest = command(*args)
        return [jail, "--setenv", "MARK", mark.decode(), *rest]

    monkeypatch.setattr(javascript, "_command", marking)
    monkeypatch.setattr(javascript, "LOOK_S", 0.001)
    job = Job(Program(HANG, "javascript"), (Call("f"),), PATIENT)
    for milliseconds in range(24):
        runtime = javascript.NodeRuntime(JailConfig(locate()), 1, 1)
        results: list[JobResult] = []
        runtime.submit([JobRun(job, javascript.EncodedForNode(job.probes), 1, results.append)])
        time.sleep(milliseconds / 1000)
        runtime.close()
        assert [r.load.status for r in results] == [Status.INFRA]
    assert until(lambda: not marked(mark))


def test_checking_a_program_compiles_it_and_does_not_run_it(tier_1: Sandbox) -> None:
    tier_1.check([Job(Program("throw new Error('it ran')", "javascript"), ())])
    with pytest.raises(ProgramError, match="does not compile: Unexpected"):
        tier_1.check([Job(Program("function f( {", "javascript"), ())])
