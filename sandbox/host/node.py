"""JavaScript on Node: the second language, through the same probes, frames and outcomes as the first.

Node needs threads and address space that a locked Python child does not get, so there is no zygote to fork: each
process is a Node of its own in a bubblewrap jail (namespaces, dedicated user, no network, nothing writable, no other
process, forbidden system calls refused), 60 to 100 ms each. Numbers that are whole count as int, others as float; a
plain object is a dict. Not covered: keyword arguments, and `memory` as a status: V8 throws a RangeError or aborts.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import cast

from sandbox.errors import ArgumentError, InterpreterMissing, SandboxUnavailable
from sandbox.host.interpreter import locate
from sandbox.host.jail import JAIL_UID, JAILED, base_arguments, parents
from sandbox.host.job_run import Run
from sandbox.limits import MIB
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence

HOME = Path("/ucoder/sandbox/jailed")
START_S = 5.0
"""Seconds that Node may take to start: before its driver speaks, no clock of the program runs."""

NODE_BYTES = 128 * MIB
"""What Node holds before it runs anything (Node 20: 48 MB, and 8 MiB of stack for each of up to four more threads)."""

MAX_INT = 2**53 - 1
"""Largest whole number that JavaScript tells from its neighbours (Number.MAX_SAFE_INTEGER)."""

LOOK_S = 0.05
"""How often a conversation with Node looks whether anybody still waits for its end."""


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
    elif (type(value) is float and not math.isfinite(value)) or (type(value) is int and abs(value) > MAX_INT):
        raise ArgumentError(f"probe {number}: an argument is a number that JavaScript does not get exactly")


def node() -> Path:
    """The Node to run programs with; raises `InterpreterMissing`."""
    found = shutil.which("node")
    if found is None:
        raise InterpreterMissing(
            "JavaScript programs need Node: install it (Debian: `sudo apt install nodejs`)"
        )
    return Path(found).resolve()


class Nodes:
    """Threads that see runs through, at most `count` at a time; each run gets its terminal record, whatever happens."""

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, "ucoder-sandbox-node")  # starts no thread until used
        # Held while `_closed` is set or obeyed: no run is accepted that nobody would look at any more.
        self._gate = threading.Lock()
        self._closed = False

    def submit(self, run: Run) -> None:
        with self._gate:
            if self._closed:
                raise SandboxUnavailable("this sandbox has been closed; make a new one")
            self._threads.submit(self._drive, run)

    def close(self) -> None:
        """End every Node. Runs that go on or wait are given back as `infra`."""
        with self._gate:
            self._closed = True
        self._threads.shutdown()

    def _drive(self, run: Run) -> None:
        ended = False
        while not ended:
            if run.abandoned:
                run.give_up()
                ended = True
            elif self._closed:
                ended = run.infra_failed("the sandbox was closed")
            else:
                ended = self._attempt(run)
        run.done = True
        run.finished(run.result())

    def _attempt(self, run: Run) -> bool:
        """One Node process; returns whether the run is complete."""
        try:
            ending = _one_process(run, lambda: self._closed or run.abandoned)
            if ending is None:
                return False
            status, timed_out = ending
            return run.child_ended(status, 0.0, timed_out)
        except Exception as error:  # whatever it is, it is not the program's fault, and somebody waits
            return run.infra_failed(f"Node could not be run: {error}")


def _one_process(run: Run, stopped: Callable[[], bool]) -> tuple[int, bool] | None:
    """How one Node ended: its status as from wait, and whether time ran out. None: it was `stopped`."""
    message = run.begin()
    with ExitStack() as files:  # every descriptor is a file, so that it is closed once
        (job, to_job), (stdin, to_stdin), (answers, to_answers) = (_pipe(files) for _ in range(3))
        process = subprocess.Popen(
            _command(run.job, job.fileno(), to_answers.fileno()), stdin=stdin, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[job.fileno(), to_answers.fileno()], env={},
            start_new_session=True,
        )  # fmt: skip
        try:
            for theirs in (job, stdin, to_answers):
                theirs.close()
            sending = {to_job: message, to_stdin: run.script_stdin.encode("utf-8", "surrogatepass")}
            timed_out = _converse(run, process.pid, sending, answers, stopped)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the jail's every process dies with bubblewrap
            code = process.wait()
    return None if stopped() else (_status(code), timed_out)


def _pipe(files: ExitStack) -> tuple[FileIO, FileIO]:
    read, write = os.pipe()
    return (
        files.enter_context(os.fdopen(read, "rb", buffering=0)),
        files.enter_context(os.fdopen(write, "wb", buffering=0)),
    )


def _converse(
    run: Run, pid: int, sending: dict[FileIO, bytes], answers: FileIO, stopped: Callable[[], bool]
) -> bool:
    """Hand everything over and read answers until Node has ended; returns whether time ran out first.

    Raises `SandboxUnavailable` when nothing was heard of it: the driver speaks before it looks at the program.
    """
    heard = timed_out = False
    deadline = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector, os.fdopen(os.pidfd_open(pid), "rb", buffering=0) as exit_:
        # A program may close its end of any pipe and stay: only its exit, too, ends the conversation.
        for source in (answers, exit_):
            selector.register(source, selectors.EVENT_READ)
        for stream, data in sending.items():
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_WRITE, memoryview(data))
        # Not stopped before it is heard: a bubblewrap that dies while it builds its jail leaves half of it running.
        while selector.get_map() and not run.faulty and not (heard and stopped()):
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(min(left, LOOK_S)):
                file = cast(FileIO, key.fileobj)
                if file is answers:
                    more = answers.read(1 << 16)
                    if run.feed(more) or (run.begun and not heard):
                        heard, deadline = True, run.deadline(time.monotonic())
                elif file is exit_:
                    more = b""
                else:
                    more = _send(file, key.data)
                    selector.modify(file, selectors.EVENT_WRITE, more)
                if not more:
                    selector.unregister(file)
                    file.close()
    if not heard and not run.faulty:
        raise SandboxUnavailable("it did not start in its jail")
    return timed_out


def _send(stream: FileIO, data: memoryview) -> memoryview:
    """What is left of `data`."""
    try:
        return data[stream.write(data) :]
    except BrokenPipeError:
        return data[:0]  # nobody reads any more: if that matters, the answers say so


def _status(code: int) -> int:
    """How what ran in the jail ended, as from wait: bubblewrap reports a signal as a shell does, above 128."""
    number = -code if code < 0 else code - 128  # below 0 it is bubblewrap itself that was killed
    return number if 0 < number <= signal.SIGSYS else code << 8


def _command(job: Job, job_fd: int, answer_fd: int) -> list[str]:
    binary, python = node(), locate()
    args = base_arguments([*python.readable, binary])
    args += [*parents(HOME), "--ro-bind", str(JAILED), str(HOME)]
    args += ["--remount-ro", "/tmp", "--remount-ro", "/", "--chdir", "/"]  # noqa: S108 - the jail's own
    uid = JAIL_UID if os.geteuid() == 0 else 0
    heap = max(16, job.limits.memory_bytes // MIB)
    command = [
        str(binary), f"--max-old-space-size={heap}", "--jitless", str(HOME / "driver.js"), str(job_fd), str(answer_fd)
    ]  # fmt: skip
    start = (
        "import sys; sys.path.insert(0, '/ucoder'); from sandbox.jailed import launch; "
        f"launch.runtime({uid}, {job.limits.cpu_s}, {job.limits.memory_bytes + NODE_BYTES}, {command!r})"
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
