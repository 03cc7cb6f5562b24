"""JavaScript on Node: the second language, through the same probes, frames and outcomes as the first.

Node needs threads and address space that a locked Python child does not get, so there is no zygote to fork: each
process is a Node of its own in a bubblewrap jail (namespaces, dedicated user, no network, nothing writable,
forbidden system calls refused), 60 to 100 ms each. Numbers that are whole count as int, others as float; a plain
object is a dict. Not covered: keyword arguments, and a limit on memory other than V8's own heap.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

from sandbox.errors import ArgumentError, InterpreterMissing
from sandbox.interpreter import locate
from sandbox.jail import JAIL_UID, JAILED, base_arguments, parents
from sandbox.limits import MIB
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence
from sandbox.run import Run

HOME = Path("/ucoder/sandbox/jailed")
START_S = 2.0
"""Seconds that Node may take to start, on top of the first probe's own."""


class EncodedForNode:
    """A job's probes as JSON; `scripts` maps the index of each `Script` to its standard input."""

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Raises `ArgumentError` for an argument that JSON cannot carry exactly."""
        self.plain = [_plain(number, probe) for number, probe in enumerate(probes)]
        self.scripts = {i: probe.stdin for i, probe in enumerate(probes) if isinstance(probe, Script)}

    def blob(self, stop: int) -> bytes:
        return json.dumps(self.plain[:stop]).encode()

    @staticmethod
    def message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
        """The one message a Node process gets (each answer is sent at once, `careful` or not)."""
        limits = job.limits
        return json.dumps(
            {
                "seed": seed, "source": job.program.source, "first": first, "script": script is not None,
                "probes": json.loads(probes or b"[]"), "result_bytes": limits.result_bytes,
                "stdout_bytes": limits.stdout_bytes,
            }
        ).encode()  # fmt: skip


def _plain(number: int, probe: Probe) -> list[object] | None:
    match probe:
        case Call():
            return ["call", *_call(number, probe)]
        case Sequence():
            return ["sequence", _call(number, probe.construct), [_call(number, step) for step in probe.steps]]
        case Expression():
            return ["expression", probe.source]
        case Check():
            return ["check", probe.source]
        case Script():
            return None


def _call(number: int, call: Call) -> list[object]:
    if call.kwargs:
        raise ArgumentError(f"probe {number}: JavaScript has no keyword arguments")
    _check(number, list(call.args), 0)
    return [call.function, list(call.args)]


def _check(number: int, value: object, depth: int) -> None:
    if depth > 50:
        raise ArgumentError(f"probe {number}: an argument is nested more than 50 deep, or holds itself")
    if type(value) is list:
        for item in value:
            _check(number, item, depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ArgumentError(f"probe {number}: JavaScript objects have text as keys")
            _check(number, item, depth + 1)
    elif type(value) not in (type(None), bool, int, float, str):
        raise ArgumentError(
            f"probe {number}: an argument is a {type(value).__name__}; JavaScript programs take None, bool, int, "
            "float, str, list and dict"
        )


def node() -> Path:
    """The Node to run programs with; raises `InterpreterMissing`."""
    found = shutil.which("node")
    if found is None:
        raise InterpreterMissing(
            "JavaScript programs need Node: install it (Debian: `sudo apt install nodejs`)"
        )
    return Path(found).resolve()


def drive(run: Run) -> None:
    """Run one job to its terminal record; called in a thread of its own, it never raises."""
    ended = False
    while not ended:
        try:
            status, timed_out = _one_process(run)
            ended = run.child_ended(status, 0.0, timed_out)
        except OSError as error:
            ended = run.infra_failed(f"Node cannot be started: {error}")
    run.done = True
    run.finished(run.result())


def _one_process(run: Run) -> tuple[int, bool]:
    message = run.begin()
    job_read, job_write = os.pipe()
    answer_read, answer_write = os.pipe()
    try:
        process = subprocess.Popen(
            _command(run.job, job_read, answer_write), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[job_read, answer_write], env={}, start_new_session=True,
        )  # fmt: skip
        os.close(answer_write)
        answer_write = -1
        timed_out = _converse(run, process, job_write, message, answer_read)
        job_write = -1
        process.kill()
        code = process.wait()
    finally:
        for fd in (job_read, job_write, answer_read, answer_write):
            if fd >= 0:
                os.close(fd)
    # bubblewrap reports a signal as a shell does; the supervisor's own kill is told apart by `timed_out`.
    return (code - 128 if code > 128 else max(code, 0) << 8), timed_out


def _converse(
    run: Run, process: subprocess.Popen[bytes], job_write: int, message: bytes, answers: int
) -> bool:
    """Hand the job over and read answers until the end; returns whether time ran out."""
    assert process.stdin is not None
    try:
        with os.fdopen(job_write, "wb") as stream:
            stream.write(message)
        process.stdin.write(run.script_stdin.encode("utf-8", "surrogatepass"))
        process.stdin.close()
    except BrokenPipeError:
        return False  # it ended before it had read everything: its status says how
    deadline = run.deadline(time.monotonic()) + START_S
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([answers], [], [], left)[0]:
            continue
        data = os.read(answers, 1 << 16)
        if not data:
            process.wait(5)
            return False
        if run.feed(data):
            deadline = run.deadline(time.monotonic())
        if run.faulty:
            return False
    return True


def _command(job: Job, job_fd: int, answer_fd: int) -> list[str]:
    binary, python = node(), locate()
    args = base_arguments([*python.readable, binary])
    args += [*parents(HOME), "--ro-bind", str(JAILED), str(HOME), "--remount-ro", "/", "--chdir", "/"]
    uid = JAIL_UID if os.geteuid() == 0 else 0
    heap = max(16, job.limits.memory_bytes // MIB)
    command = [
        str(binary), f"--max-old-space-size={heap}", "--jitless", str(HOME / "driver.js"), str(job_fd), str(answer_fd)
    ]  # fmt: skip
    start = (
        "import sys; sys.path.insert(0, '/ucoder'); from sandbox.jailed import launch; "
        f"launch.main({uid}, '/', {max(1, round(job.limits.cpu_s))}, {64 << 30}, 0, {command!r})"
    )
    return [
        *args,
        "--setenv",
        "LC_ALL",
        "C.UTF-8",
        "--",
        str(python.executable),
        "-I",
        "-S",
        "-B",
        "-c",
        start,
    ]
