"""The public interface: jobs in, exactly one result each out, in order, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import errno
import marshal
import math
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox import soak as soak_module
from sandbox.cli import sandbox as command
from sandbox.command import run_command
from sandbox.errors import (
    ArgumentError,
    InterpreterMissing,
    LimitsError,
    ProgramError,
    SandboxError,
    SandboxUnavailable,
)
from sandbox.host import jail, wire
from sandbox.host.job_run import Run
from sandbox.host.worker import Worker
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Probe, Program, Script, Sequence
from sandbox.soak import soak
from sandbox.values import Mutated, Value


def answers(
    box: Sandbox, source: str, *probes: Call | Check | Expression | Sequence | Script
) -> list[object]:
    result = box.run_one(Job(Program(source), probes))
    return [
        o.value.python() if o.value is not None else (o.status.value, o.exception) for o in result.outcomes
    ]


# What a program may be asked


def test_calls_expressions_and_checks(box: Sandbox) -> None:
    source = "def f(a, b=1): return a + b\nclass A:\n    @staticmethod\n    def g(): return 'g'"
    probes = (Call("f", (1,)), Call("f", (1,), {"b": 5}), Call("A.g"), Expression("f(2) * 10"))
    assert answers(box, source, *probes) == [2, 6, "g", 30]
    assert answers(box, source, Check("assert f(1) == 2"), Check("assert f(1) == 3")) == [
        None,
        ("exception", "AssertionError"),
    ]


def test_exception_type_and_message_are_separate(box: Sandbox) -> None:
    outcome = box.run_one(Job(Program("def f(): raise KeyError('here')"), (Call("f"),))).outcomes[0]
    assert (outcome.status, outcome.exception, outcome.message) == (Status.EXCEPTION, "KeyError", "'here'")


def test_call_sequence_exercises_a_class(box: Sandbox) -> None:
    stack = "class Stack:\n    def __init__(self): self.xs = []\n"
    stack += "    def push(self, x): self.xs.append(x); return self\n"
    other = stack + "    def pop(self): return self.xs.pop(0)"
    stack += "    def pop(self): return self.xs.pop()"
    steps = (Call("push", (1,)), Call("push", (2,)), Call("pop"))
    jobs = [
        Job(Program(s), (Sequence(Call("Stack"), steps),)) for s in (stack, stack + "\n# the same", other)
    ]
    first, second, different = (result.outcomes[0].value for result in box.run(jobs))
    assert first is not None
    assert first == second
    assert first != different
    assert first.python()[2] == 2  # type: ignore[index]


def test_scripts_read_stdin_and_print_and_share_nothing(box: Sandbox) -> None:
    source = "import sys\nn = int(input())\nrest = sys.stdin.read().split()\nprint(n * 2, *rest)\nsys.exit(0)"
    assert answers(box, source, Script("21\na b"), Script("4\n"), Script("x")) == [
        "42 a b\n",
        "8\n",
        ("exception", "ValueError"),
    ]


FAST_IO = """
import io, os, sys
class Fast(io.IOBase):
    newlines = 0
    def __init__(self, file):
        self.fd, self.writable, self.buffer = file.fileno(), "r" not in file.mode, io.BytesIO()
    def read(self):
        while data := os.read(self.fd, max(os.fstat(self.fd).st_size, 8192)):
            self.buffer.write(data)
        return self.buffer.getvalue()
    def flush(self):
        if self.writable:
            os.write(self.fd, self.buffer.getvalue())
"""


@pytest.mark.parametrize(
    "source",
    [
        "print(open(0).read()[::-1], end='')",
        "import os\nos.write(1, os.read(0, 100)[::-1])",
        "import os, sys\nos.write(sys.stdout.fileno(), os.read(sys.stdin.fileno(), 100)[::-1])",
        "import sys\nopen(1, 'w').write(sys.stdin.read()[::-1])",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint(input()[::-1], end='')",
        "import sys\nsys.stdout = sys.__stdout__\nprint(sys.__stdin__.readline()[::-1], end='')",
        "import atexit, os\natexit.register(lambda: os.write(1, b'cba'))",
        "print('cba', end='')\nexit()\nprint('not reached')",
        "print('cba', end='')\nquit(0)",
        "import os\nprint('a', end='')\nos.write(1, b'cb')",
        FAST_IO + "given, out = Fast(sys.stdin), Fast(sys.stdout)\nout.buffer.write(given.read()[::-1])\nout.flush()",
    ],
)  # fmt: skip
def test_scripts_may_use_their_descriptors_as_in_a_process_of_their_own(box: Sandbox, source: str) -> None:
    assert answers(box, source, Script("abc"), Script("abc")) == ["cba", "cba"]


def test_a_script_gets_all_of_a_long_text_or_an_error(box: Sandbox) -> None:
    text = "0123456789" * 6_000
    both = "import os, sys\nprint(sys.stdin.read() == b''.join(iter(lambda: os.read(0, 999), b'')).decode())"
    assert answers(box, both, Script(text), Script("")) == ["True\n", "True\n"]
    assert answers(box, both, Script(text * 2)) == [("exception", "OSError")]
    assert answers(box, "import sys\nprint(len(sys.stdin.read()))", Script(text * 20)) == ["1200000\n"]


def test_a_script_that_writes_too_much_to_its_descriptor_ends_as_output(box: Sandbox) -> None:
    for source in ("os.write(1, b'x' * 70_000)", "while True: os.write(1, b'x' * 999)"):
        assert answers(box, f"import os\n{source}", Script()) == [("output", "")]
    assert answers(box, "import os\nos.close(1)\nprint('x')", Script()) == ["x\n"]


def test_exit_is_there_as_in_every_python(box: Sandbox) -> None:
    assert (
        answers(box, "def f(): exit(3)\ndef g(): quit()", Call("f"), Call("g"))
        == [("exception", "SystemExit")] * 2
    )


def test_async_functions_and_generators_are_run(box: Sandbox) -> None:
    source = (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.001)\n    return x\n"
        "async def both(): return await asyncio.gather(f(1), f(2))\n"
        "def run(): return asyncio.run(both())\n"
        "async def gen():\n    yield 1\n    yield 2\n"
        "def count():\n    n = 0\n    while True:\n        yield n\n        n += 1"
    )
    f, both, run, gen, count = answers(box, source, *(Call(n) for n in ("f", "both", "run", "gen", "count")))
    assert f == ("exception", "TypeError")
    assert (both, run) == ([1, 2], [1, 2])
    assert repr(gen) == "<yields 1, 2>"
    assert count.more  # type: ignore[attr-defined]
    assert len(count.items) == 1000  # type: ignore[attr-defined]


def test_mutation_is_part_of_the_behaviour_and_order_is_not(box: Sandbox) -> None:
    source = (
        "def f(xs): xs.sort(); return {1, 2}\ndef g(d): d['b'] = d.pop('b'); return 0\ndef h(b): b.append(1)"
    )
    sort, reorder, grow = answers(
        box, source, Call("f", ([2, 1],)), Call("g", ({"b": 1, "a": 2},)), Call("h", (bytearray(),))
    )
    assert isinstance(sort, Mutated)
    assert sort.args == ([1, 2],)
    assert reorder == 0
    assert isinstance(grow, Mutated)


@pytest.mark.parametrize(
    "value", [range(3), bytearray(b"x"), [range(2), float("inf")], 1j, {1, 2}, {(1, 2): None}, "\ud800"]
)
def test_arguments_arrive_as_they_are(box: Sandbox, value: object) -> None:
    assert answers(box, "def f(x): return x", Call("f", (value,))) == [value]


def test_probes_share_no_argument(box: Sandbox) -> None:
    shared = [1]
    source = "def f(xs):\n    xs.append(0)\n    return len(xs)"
    assert [a.result for a in answers(box, source, *(Call("f", (shared,)) for _ in range(3)))] == [2, 2, 2]  # type: ignore[attr-defined]


def test_numpy_arrays_are_values_where_numpy_is_installed() -> None:
    pytest.importorskip("numpy")
    source = "import numpy\ndef f(): return numpy.arange(4).reshape(2, 2)\ndef g(): return numpy.float64(0.5)"
    limits = Limits(probe_wall_s=30, job_wall_s=60, cpu_s=30, memory_bytes=4 << 30)
    with Sandbox(1) as box:
        array, scalar = box.run_one(Job(Program(source), (Call("f"), Call("g")), limits)).outcomes
    assert array.value is not None, array
    assert array.value.text() == "array([0, 1, 2, 3], shape=(2, 2), dtype=int64)"
    assert scalar.value == Value.of(0.5)


def test_a_candidate_costs_few_pages(tier_1: Sandbox) -> None:
    """A fresh process costs the pages it touches: 390 to 470 before the zygote prepared them, 197 to 274 since."""
    faults = Expression("__import__('resource').getrusage(0).ru_minflt")
    counted = [answers(tier_1, f"# {n}\ndef f(x): return x", Call("f", (1,)), faults)[1] for n in range(20)]
    assert sorted(counted)[10] < 330  # type: ignore[type-var, operator]


def test_a_request_finds_the_pages_of_its_zygote_copied() -> None:
    """Forking ahead leaves them shared; 32 were copied while somebody waited for the ends, 11 are left."""

    def faults(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])

    counted = []
    with Sandbox(1, prefork=8) as box:
        (zygote,) = box.zygotes()
        for n in range(21):
            time.sleep(0.05)  # it forks ahead
            before = faults(zygote)
            box.run([Job(Program(f"# {n} {k}\ndef f(): return {k}"), (Call("f"),)) for k in range(8)])
            counted.append(faults(zygote) - before)
    assert sorted(counted)[10] < 22


@pytest.mark.parametrize("module", ["asyncio", "decimal", "fractions", "statistics"])
def test_what_programs_often_import_is_there_in_every_tier(box: Sandbox, module: str) -> None:
    assert answers(box, f"import {module}", Expression(f"{module}.__name__")) == [module]


# What happens to the rest of a job


def test_probes_after_a_hang_are_still_answered(box: Sandbox) -> None:
    source = "def f(n):\n    while n == 2: pass\n    return n"
    limits = Limits(probe_wall_s=0.3, job_wall_s=3)
    result = box.run_one(Job(Program(source), tuple(Call("f", (n,)) for n in range(5)), limits))
    assert [o.status.value for o in result.outcomes] == ["ok", "ok", "wall", "ok", "ok"]


def test_hang_in_native_code_is_charged_to_its_own_probe(box: Sandbox) -> None:
    source = "def f(n): return len(str(7 ** 10_000_000)) if n == 2 else n\nimport sys\nsys.set_int_max_str_digits(0)"
    limits = Limits(probe_wall_s=0.3, job_wall_s=3)
    result = box.run_one(Job(Program(source), tuple(Call("f", (n,)) for n in range(5)), limits))
    assert [o.status.value for o in result.outcomes] == ["ok", "ok", "wall", "ok", "ok"]


def test_dying_again_and_again_is_bounded(box: Sandbox) -> None:
    result = box.run_one(Job(Program("import os\ndef f(): os._exit(1)"), tuple(Call("f") for _ in range(40))))
    assert {o.status for o in result.outcomes} == {Status.NO_RESULT}


def test_job_wall_is_reported_for_probes_not_reached(box: Sandbox) -> None:
    limits = Limits(probe_wall_s=0.2, job_wall_s=0.5)
    result = box.run_one(
        Job(Program("def f():\n    while True: pass"), tuple(Call("f") for _ in range(20)), limits)
    )
    assert {o.status for o in result.outcomes} == {Status.WALL}
    assert result.wall_s < 5


# Interfaces and bad input


async def test_async_interface_reports_progress_and_keeps_the_order(tier_1: Sandbox) -> None:
    seen: list[int] = []
    jobs = [Job(Program(f"def f(): return {n}"), (Call("f"),)) for n in range(20)]
    results = await tier_1.arun(jobs, on_progress=lambda index, _: seen.append(index))
    assert [r.outcomes[0].value for r in results] == [Value.of(n) for n in range(20)]
    assert sorted(seen) == list(range(20))
    streamed = {index async for index, _ in tier_1.astream(iter(jobs))}
    assert streamed == set(range(20))


def test_a_stream_gives_out_what_is_in_flight_before_it_refuses_a_job(tier_1: Sandbox) -> None:
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
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LimitsError, match="|".join(wrong)):
        Limits(**wrong)  # type: ignore[arg-type]


def test_the_largest_limits_can_be_set(box: Sandbox) -> None:
    day, mib = 86_400, 1 << 20
    limits = Limits(day, day, day, (1 << 46), 1024 * mib, 1024 * mib)
    result = box.run_one(Job(Program("x = 1"), (Expression("x"), Script()), limits))
    assert [o.value for o in result.outcomes] == [Value.of(1), Value.of("")]


def test_a_child_that_cannot_be_set_up_is_no_failure_of_the_program(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*_: object) -> bytes:
        blob = marshal.dumps((1, 1 << 70, (True, 1, "x = 1", 1, 1, 0, None, b"")), 2)
        return struct.pack("<I", len(blob)) + blob

    monkeypatch.setattr(wire, "job_message", impossible)
    result = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
    assert (result.load.status, result.outcomes[0].status) == (Status.INFRA, Status.INFRA)


class Text(StrEnum):
    """Text by its looks; its type is not one that can travel."""

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


def test_a_job_that_cannot_be_sent_is_answered_and_the_others_go_on(
    tier_1: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Run.begin

    def failing(run: Run) -> bytes:
        if run.job.program.source == "bad":
            raise ValueError("it cannot be written")
        return begin(run)

    monkeypatch.setattr(Run, "begin", failing)
    jobs = [Job(Program(source), (Expression("1"),)) for source in ("x = 1", "bad", "x = 2")]
    first, bad, last = tier_1.run(jobs)
    assert (bad.load.status, bad.outcomes[0].status) == (Status.INFRA, Status.INFRA)
    assert "it cannot be written" in bad.load.message
    assert first.outcomes[0].value == last.outcomes[0].value == Value.of(1)


@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("what", ["socketpair", "Popen"])
def test_a_moment_without_descriptors_is_survived(
    what: str, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = count(failures, -1)

    def exhausted(*arguments: object, **options: object) -> object:
        if next(left) > 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*arguments, **options)

    with Sandbox(1, prefork=1) as box:
        if what == "Popen":
            real: Callable[..., object] = subprocess.Popen
            monkeypatch.setattr(jail.subprocess, "Popen", exhausted)
            (zygote,) = box.zygotes()
            os.kill(zygote, signal.SIGKILL)
            assert ends(zygote)
        else:
            real = socket.socketpair
            monkeypatch.setattr(socket, "socketpair", exhausted)
        results = box.run([Job(Program("def f(): return 1"), (Call("f"),))] * 6)
        assert [r.outcomes[0].value for r in results] == [Value.of(1)] * 6
    assert next(left) < 1


@pytest.mark.slow
def test_a_jail_that_cannot_be_started_again_is_tried_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts, steps = [], []

    def failing(config: object) -> Worker:
        attempts.append(config)
        raise SandboxUnavailable("no jail today")

    with Sandbox(1) as box:
        step = box._supervisor._step
        monkeypatch.setattr(box._supervisor, "_step", lambda: steps.append(step()))
        monkeypatch.setattr(Worker, "start", failing)
        os.kill(box.zygotes()[0], signal.SIGKILL)
        time.sleep(1.0)
        assert 0 < len(attempts) < 10
        assert len(steps) < 100
        answered = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
        assert (answered.load.status, answered.load.message) == (Status.INFRA, "no jail today")
        monkeypatch.undo()
        answered = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
        assert answered.outcomes[0].value == Value.of(1)


def test_without_bubblewrap_nothing_runs_and_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail.shutil, "which", lambda _: None)
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        Sandbox(1)


def test_closed_sandbox_refuses(tmp_path: Path) -> None:
    box = Sandbox(1)
    box.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        box.run([Job(Program("x = 1"), ())])


def test_closing_while_a_job_runs_and_the_supervisor_notices_first(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Sandbox(1)
    wake = box._supervisor._wake
    with ThreadPoolExecutor(1) as other:
        running = other.submit(box.run_one, Job(Program("import time\ntime.sleep(5)"), ()))
        while not box.busy():
            time.sleep(0.001)

        def late() -> None:
            box._supervisor.thread.join(0.3)  # its clocks make it look without being woken
            wake()

        monkeypatch.setattr(box._supervisor, "_wake", late)
        box.close()
        assert running.result().load.status is Status.INFRA
    box.close()  # a second time is no mistake


def test_a_job_submitted_while_closing_is_refused_or_answered() -> None:
    for _ in range(5):
        box = Sandbox(1)

        def submit(box: Sandbox = box) -> list[Status]:
            answers: list[Status] = []
            job = Job(Program("def f(): return 1"), (Call("f"),))
            with pytest.raises(SandboxUnavailable, match="closed"):
                answers.extend(box.run_one(job).outcomes[0].status for _ in count())
            return answers

        with ThreadPoolExecutor(4) as others:
            threads = [others.submit(submit) for _ in range(4)]
            time.sleep(0.05)
            closers = [others.submit(box.close) for _ in range(2)]
            box.close()
            answers = {status for thread in threads for status in thread.result(timeout=30)}
            assert Status.OK in answers
            assert answers <= {Status.OK, Status.INFRA}
            for closer in closers:
                closer.result(timeout=30)


def test_who_waits_for_results_comes_before_the_next_children(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fork = Worker.fork

    def forking(worker: Worker, count: int = 1, ahead: bool = False) -> bool:
        happened.extend(["forked ahead"] * ahead)
        return fork(worker, count, ahead)

    jobs = [Job(Program("def f(): return 1"), (Call("f"),)) for _ in range(6)]
    with Sandbox(1, prefork=3) as box:
        supervisor = box._supervisor
        monkeypatch.setattr(Worker, "fork", forking)
        deliver = supervisor._deliver

        def delivering() -> None:
            happened.extend(["delivered"] * len(supervisor.finished))
            deliver()

        monkeypatch.setattr(supervisor, "_deliver", delivering)
        assert all(result.outcomes[0].status is Status.OK for result in box.run(jobs))
        assert box.run([]) == []
        (worker,) = supervisor.workers.values()
        waited_until = time.monotonic() + 20
        while len(worker.ready) < 3 and time.monotonic() < waited_until:
            time.sleep(0.001)
        assert len(worker.ready) == 3
    assert happened[:6] == ["delivered"] * 6
    assert "forked ahead" in happened[6:]


def test_programs_of_one_interpreter_see_its_site_packages(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "only_here.py").write_text("answer = 42\n")
    with Sandbox(1, str(tmp_path / "env")) as box:
        assert answers(box, "import only_here", Expression("only_here.answer")) == [42]
        assert answers(box, "", Expression(f"open({str(site / 'x')!r}, 'w')"))[0] != 42


# Deaths


def test_jobs_survive_the_death_of_zygotes(tier_1: Sandbox) -> None:
    jobs = [Job(Program(f"def f(): return {n}"), (Call("f"),)) for n in range(300)]
    results = {}
    for done, (index, result) in enumerate(tier_1.stream(iter(jobs))):
        assert index not in results
        results[index] = result.outcomes[0].value
        if done % 60 == 30:
            with suppress(ProcessLookupError):  # it may be one that has just died and is being replaced
                os.kill(random.choice(tier_1.zygotes()), signal.SIGKILL)
    assert results == {n: Value.of(n) for n in range(300)}


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("jobs", [0, 1, 6])
@pytest.mark.slow
def test_a_stuck_zygote_is_given_up_and_its_jobs_answered(jobs: int) -> None:
    with Sandbox(1, prefork=1) as box:
        (zygote,) = box.zygotes()
        os.kill(zygote, signal.SIGSTOP)
        limits = Limits(probe_wall_s=0.5, job_wall_s=1)
        results = box.run([Job(Program("def f(): return 1"), (Call("f"),), limits)] * jobs)
        assert {r.outcomes[0].status for r in results} <= {Status.OK, Status.WALL, Status.INFRA}
        if jobs:
            assert ends(zygote)
            good = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
            assert good.outcomes[0].value == Value.of(1)
    assert ends(zygote)


def test_nothing_is_left_when_the_supervisor_is_killed() -> None:
    program = (
        "from sandbox.pool import Sandbox\nfrom sandbox.program import *\nimport sys\n"
        "box = Sandbox(2)\nprint(*box.zygotes(), flush=True)\n"
        "box.run([Job(Program('while True: pass'), ())] * 8)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    zygotes = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.2)
    process.kill()
    process.wait()
    process.stdout.close()
    assert all(map(ends, zygotes))


@pytest.mark.slow
def test_tier_2_dies_with_its_supervisor_even_where_it_is_stuck(tier_2: Sandbox) -> None:
    program = "import time\nfrom sandbox.pool import Sandbox\nbox = Sandbox(1, force_tier=2)\n"
    program += "print(*box.zygotes(), flush=True)\ntime.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    zygote = int(process.stdout.readline())
    os.kill(zygote, signal.SIGSTOP)
    process.kill()
    process.wait()
    process.stdout.close()
    assert ends(zygote)


def test_short_soak_gives_every_job_exactly_one_right_record(tmp_path: Path) -> None:
    report = soak(1500, seed=7, folder=tmp_path, kill_every=250)
    assert report.wrong == []
    assert report.jobs == report.records == 1500
    assert report.kills > 0
    assert report.supervisor_kills == 2
    assert [len(samples) > 20 for samples in report.samples] == [True] * 3


def test_soak_sees_what_is_left_running_and_what_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_module, "GONE_S", 0.2)
    waits = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", waits, str(tmp_path)], stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()  # before that its command line may still be empty
        seen = soak_module._left(str(tmp_path))
        left.kill()
    assert seen == [left.pid]
    assert soak_module._left(str(tmp_path)) == []
    for growth, complaints in ((0, 0), (100, 0), (1000, 1)):
        report = soak_module.SoakReport(0)
        soak_module._hear(report, [["sample", str(n), str(30_000 + n * growth), "20"] for n in range(30)])
        assert len(report.wrong) == complaints


# For people


def test_doctor_names_the_tier_and_tries_the_forbidden() -> None:
    result = CliRunner().invoke(command, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "tier          1" in result.output or "tier          2" in result.output
    assert "NOT STOPPED" not in result.output


def test_run_a_file_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("def f(a, b): return [a, b]\nif __name__ == '__main__': print(input()[::-1])\n")
    called = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, 'x')"])
    assert "f(1, 'x'): [1, 'x']" in called.output
    unpacked = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, **{'b': 2})"])
    assert unpacked.output.endswith("[1, 2]\n")
    unhashable = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, {[]: 1})"])
    assert (unhashable.exit_code, "TypeError" in unhashable.output) == (1, True)
    script = CliRunner().invoke(command, ["run", str(file), "--stdin", "abc"])
    assert "cba" in script.output
    file.write_text("def f(:\n")
    broken = CliRunner().invoke(command, ["run", str(file)])
    assert broken.exit_code == 1
    assert "does not compile" in broken.output


def test_command_runs_without_network_or_host_files(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, socket\nprint(os.path.exists('/etc/passwd'), os.getuid() == 0)\n"
        "try: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError as e: print('refused')\n"
        "open('written', 'w').close()\n"
    )
    kept_apart = run_command(["python", "script.py"], workdir=tmp_path, wall_s=30)
    assert (kept_apart.status, kept_apart.stdout) == (Status.OK, "False False\nrefused\n")
    assert not (tmp_path / "written").exists()
    assert (
        run_command(["python", "script.py"], workdir=tmp_path, wall_s=30, writable=True).status is Status.OK
    )
    assert (tmp_path / "written").exists()


def test_command_cannot_open_the_kernels_rarer_doors(tmp_path: Path) -> None:
    code = (
        "import ctypes, subprocess, threading\nlibc = ctypes.CDLL(None)\nprint(libc.unshare(0x10000000))\n"
        "print(libc.syscall(56, 0x10000011, 0, 0, 0, 0))\nthreading.Thread(target=print, args=('thread',)).start()\n"
        "subprocess.run(['true'], check=True)\nprint('process')"
    )
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=30)
    assert result.stdout.split() == ["-1", "-1", "thread", "process"], result


def test_a_command_cannot_pose_as_a_jail_that_does_not_start(tmp_path: Path) -> None:
    code = (
        "import os\nfor fd in range(1, 64):\n    try: os.write(fd, b'bwrap: no more namespaces\\n')\n"
        "    except OSError: pass\nos._exit(1)"
    )
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=30)
    assert result.status is Status.EXCEPTION
    assert result.stderr.startswith("bwrap: ")


def test_a_jail_that_does_not_start_is_no_failure_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for says, script in (("no namespaces", "echo no namespaces >&2; exit 1"), ("it said nothing", "exit 0")):
        fake = tmp_path / "bwrap"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SandboxUnavailable, match=says):
            run_command(["python", "-c", "print(1)"], workdir=tmp_path, wall_s=30)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import time; time.sleep(60)", Status.WALL),
        ("import os; os.kill(os.getpid(), 9)", Status.SIGNAL),
        ("raise SystemExit(3)", Status.EXCEPTION),
        ("while True: print('x' * 1000)", Status.WALL),
    ],
)
def test_command_endings_are_told_apart(tmp_path: Path, code: str, status: Status) -> None:
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=1.5, output_bytes=10_000)
    assert result.status is status
    assert len(result.stdout) <= 10_000
