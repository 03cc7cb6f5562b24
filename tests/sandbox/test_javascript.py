"""A second language through the same interface: one module, the same probes, frames and outcomes."""

from __future__ import annotations

import shutil

import pytest

from sandbox.errors import ArgumentError
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Probe, Program, Script, Sequence
from sandbox.values import Mutated, Value

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=20.0, cpu_s=20)


def run(box: Sandbox, source: str, *probes: Probe, limits: Limits = LIMITS) -> JobResult:
    return box.run_one(Job(Program(source, "javascript"), probes, limits))


def values(result: JobResult) -> list[object]:
    return [
        o.value.python() if o.value is not None else (o.status.value, o.exception) for o in result.outcomes
    ]


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


def test_every_probe_works(tier_1: Sandbox) -> None:
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


def test_programs_that_do_not_compile_and_bad_arguments(tier_1: Sandbox) -> None:
    assert run(tier_1, "function f( {", Call("f")).load.exception == "SyntaxError"
    for bad in ((1,), {1: 2}, b"x", {1}):
        with pytest.raises(ArgumentError):
            run(tier_1, "function f(x) {}", Call("f", (bad,)))
