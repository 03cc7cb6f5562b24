"""JavaScript on Node: the same probes, frames and outcomes as Python.

Node needs threads and address space that a locked Python child does not get, so it has no zygote to fork. Each run
has its own Node process in a bubblewrap jail, 60 to 100 ms each: namespaces, dedicated user, no network, nothing
writable, no other process, forbidden system calls refused. Whole numbers count as int, others as float, and a plain
object is a dict.

What is not covered: keyword arguments; and `memory` as a status, since V8 throws a RangeError or aborts.
"""

from __future__ import annotations

import json
import math
import os
import re
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
from typing import Any, cast

from sandbox.errors import ArgumentError, InterpreterMissing, SandboxUnavailable
from sandbox.host.interpreter import locate
from sandbox.host.jail import JAIL_UID, JAILED, JAILED_INSIDE, JailConfig, base_arguments, parents
from sandbox.host.job_run import JobRun
from sandbox.host.probes import check_probes
from sandbox.host.runtime import Runtime
from sandbox.limits import MIB
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence

START_S = 5.0
"""Seconds that Node may take to start. Until its driver sends a frame, no clock of the program runs."""

NODE_BYTES = 128 * MIB
"""Memory of Node itself (Node 20: 48 MB, and 8 MiB of stack for each of up to four more threads)."""

MAX_INT = 2**53 - 1
"""Largest whole number that JavaScript distinguishes from its neighbours (Number.MAX_SAFE_INTEGER)."""

LOOK_S = 0.05
"""Seconds between two checks whether the run was cancelled or the sandbox closed."""


_NOT_FUNCTIONS = {
    "typeof",
    "void",
    "delete",
    "await",
    "new",
    "if",
    "while",
    "for",
    "switch",
    "with",
    "function",
}
"""Words that stand before a bracket in JavaScript without being called."""


class NodeRuntime(Runtime):
    """Drives each run in a thread, at most `workers` at a time."""

    extensions = (".js", ".cjs")
    compiler = "function check(source) { new (require('vm').Script)(source); }"

    def __init__(self, config: JailConfig, workers: int, prefork: int) -> None:
        self._tier = config.tier
        self._threads = ThreadPoolExecutor(workers, "ucoder-sandbox-node")  # starts no thread until used
        # Held while `_closed` is set or read: after `close` no run is accepted.
        self._gate = threading.Lock()
        self._closed = False
        self._running: set[JobRun] = set()

    @staticmethod
    def read_call(text: str) -> Probe:
        call = re.fullmatch(r"\s*([\w$.]+)\s*\((.*)\)\s*", text, re.DOTALL)
        if call is None or call.group(1) in _NOT_FUNCTIONS:
            return Expression(text)
        try:  # arguments are sent as JSON
            args = json.loads(f"[{call.group(2)}]", parse_constant=_refuse)
            _check_exact(0, args, 0)
        except (ValueError, ArgumentError):
            return Expression(text)
        return Call(call.group(1), tuple(args))

    def encode(self, job: Job) -> EncodedForNode:
        if self._tier != 1:
            raise SandboxUnavailable(
                "JavaScript programs need full isolation (tier 1), and this host offers tier 2 only. Run "
                "`ucoder sandbox doctor` to see what is missing"
            )
        node()
        return EncodedForNode(job.probes)

    def submit(self, runs: list[JobRun]) -> None:
        with self._gate:
            if self._closed:
                raise SandboxUnavailable("this sandbox has been closed; make a new one")
            for run in runs:
                self._threads.submit(self._drive, run)

    def abandon(self, runs: list[JobRun]) -> None:
        for run in runs:
            run.abandoned = True

    def running(self) -> int:
        return len(self._running)

    def close(self) -> None:
        with self._gate:
            self._closed = True
        self._threads.shutdown()

    def _drive(self, run: JobRun) -> None:
        self._running.add(run)
        ended = False
        while not ended:
            if run.abandoned:
                run.give_up()
                ended = True
            elif self._closed:
                ended = run.infra_failed("the sandbox was closed")
            else:
                ended = self._attempt(run)
        self._running.discard(run)
        run.done = True
        run.finished(run.result())

    def _attempt(self, run: JobRun) -> bool:
        """Run one Node process; returns whether the run is complete."""
        try:
            ending = _one_process(run, lambda: self._closed or run.abandoned)
            if ending is None:
                return False
            status, timed_out = ending
            return run.child_ended(status, 0.0, timed_out)
        except Exception as error:  # never the program's fault, and a caller waits for the result
            return run.infra_failed(f"Node could not be run: {error}")


def _refuse(constant: str) -> Any:
    """Refuse NaN and Infinity, which Python's JSON parser accepts."""
    raise ValueError(constant)


class EncodedForNode:
    """The probes of a job as JSON."""

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Encode probes; raises `ArgumentError` for an argument that JSON cannot represent exactly."""
        check_probes(probes)
        self.plain = [_encode_probe(number, probe) for number, probe in enumerate(probes)]
        self.scripts = {i: probe.stdin for i, probe in enumerate(probes) if isinstance(probe, Script)}

    def blob(self, stop: int) -> bytes:
        return json.dumps(self.plain[:stop]).encode()

    @staticmethod
    def message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
        # Node's driver sends each answer at once, `careful` or not.
        limits = job.limits
        return json.dumps(
            {
                "seed": seed, "source": job.program.source, "first": first, "script": script is not None,
                "probes": json.loads(probes or b"[]"), "result_bytes": limits.result_bytes,
                "stdout_bytes": limits.stdout_bytes,
            }
        ).encode()  # fmt: skip


def _encode_probe(number: int, probe: Probe) -> list[object] | None:
    match probe:
        case Call():
            return ["call", *_encode_call(number, probe)]
        case Sequence():
            steps = [_encode_call(number, step) for step in probe.steps]
            return ["sequence", _encode_call(number, probe.construct), steps]
        case Expression():
            return ["expression", probe.source]
        case Check():
            return ["check", probe.source]
        case Script():
            return None


def _encode_call(number: int, call: Call) -> list[object]:
    if call.kwargs:
        raise ArgumentError(f"probe {number}: JavaScript has no keyword arguments")
    _check_exact(number, list(call.args), 0)
    return [call.function, list(call.args)]


def _check_exact(number: int, value: object, depth: int) -> None:
    if depth > 50:
        raise ArgumentError(f"probe {number}: an argument is nested more than 50 deep, or holds itself")
    if type(value) is list:
        for item in value:
            _check_exact(number, item, depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ArgumentError(f"probe {number}: the keys of a JavaScript object must be text")
            _check_exact(number, item, depth + 1)
    elif type(value) not in (type(None), bool, int, float, str):
        raise ArgumentError(
            f"probe {number}: an argument is a {type(value).__name__}; JavaScript programs accept None, bool, int, "
            "float, str, list and dict"
        )
    elif (type(value) is float and not math.isfinite(value)) or (type(value) is int and abs(value) > MAX_INT):
        raise ArgumentError(
            f"probe {number}: an argument is a number that JavaScript cannot represent exactly"
        )


def node() -> Path:
    """Find the Node that runs programs; raises `InterpreterMissing`."""
    found = shutil.which("node")
    if found is None:
        raise InterpreterMissing(
            "JavaScript programs need Node, and there is no `node` on PATH: install it (Debian, Ubuntu: "
            "`sudo apt install nodejs`)"
        )
    return Path(found).resolve()


def _one_process(run: JobRun, stopped: Callable[[], bool]) -> tuple[int, bool] | None:
    """Run one Node process.

    Returns its status as from wait and whether it timed out, None when `stopped`.
    """
    message = run.begin()
    with ExitStack() as files:  # each descriptor is a file, so that it is closed exactly once
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
            os.killpg(process.pid, signal.SIGKILL)  # every process of the jail dies with bubblewrap
            code = process.wait()
    return None if stopped() else (_status(code), timed_out)


def _pipe(files: ExitStack) -> tuple[FileIO, FileIO]:
    read, write = os.pipe()
    return (
        files.enter_context(os.fdopen(read, "rb", buffering=0)),
        files.enter_context(os.fdopen(write, "wb", buffering=0)),
    )


def _converse(
    run: JobRun, pid: int, sending: dict[FileIO, bytes], answers: FileIO, stopped: Callable[[], bool]
) -> bool:
    """Send everything and read answers until Node has ended.

    Returns whether it timed out first.

    Raises `SandboxUnavailable` when no frame arrived: the driver sends one before it loads the program.
    """
    started = timed_out = False
    deadline = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector, os.fdopen(os.pidfd_open(pid), "rb", buffering=0) as exit_:
        # A program may close its end of every pipe and go on running, so its exit is awaited too.
        for source in (answers, exit_):
            selector.register(source, selectors.EVENT_READ)
        for stream, data in sending.items():
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_WRITE, memoryview(data))
        # Not stopped before it has started: a bubblewrap that dies while it builds its jail leaves processes behind.
        while selector.get_map() and not run.faulty and not (started and stopped()):
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(min(left, LOOK_S)):
                file = cast(FileIO, key.fileobj)
                if file is answers:
                    more = answers.read(1 << 16)
                    if run.feed(more) or (run.begun and not started):
                        started, deadline = True, run.deadline(time.monotonic())
                elif file is exit_:
                    more = b""
                else:
                    more = _send(file, key.data)
                    selector.modify(file, selectors.EVENT_WRITE, more)
                if not more:
                    selector.unregister(file)
                    file.close()
    if not started and not run.faulty:
        raise SandboxUnavailable("it did not start in its jail")
    return timed_out


def _send(stream: FileIO, data: memoryview) -> memoryview:
    """Write as much as the pipe accepts; returns the rest of `data`."""
    try:
        return data[stream.write(data) :]
    except BrokenPipeError:
        return data[:0]  # the reader is gone; where that matters, the answers are missing


def _status(code: int) -> int:
    """Translate bubblewrap's exit code to a status as from wait.

    Like a shell, bubblewrap reports signals above 128.
    """
    number = -code if code < 0 else code - 128  # below 0: bubblewrap itself was killed
    return number if 0 < number <= signal.SIGSYS else code << 8


def _command(job: Job, job_fd: int, answer_fd: int) -> list[str]:
    binary, python = node(), locate()
    args = base_arguments([*python.readable, binary])
    args += [*parents(JAILED_INSIDE), "--ro-bind", str(JAILED), str(JAILED_INSIDE)]
    args += ["--remount-ro", "/tmp", "--remount-ro", "/", "--chdir", "/"]  # noqa: S108 - the jail's own
    uid = JAIL_UID if os.geteuid() == 0 else 0
    heap = max(16, job.limits.memory_bytes // MIB)
    driver = [str(JAILED_INSIDE / "driver.js"), str(job_fd), str(answer_fd)]
    command = [str(binary), f"--max-old-space-size={heap}", "--jitless", *driver]
    start = (
        "import sys; sys.path.insert(0, '/ucoder'); from sandbox.jailed import launch; "
        f"launch.runtime({uid}, {job.limits.cpu_s}, {job.limits.memory_bytes + NODE_BYTES}, {command!r})"
    )
    python_command = [str(python.executable), "-I", "-S", "-B", "-c", start]
    return [*args, "--setenv", "LC_ALL", "C.UTF-8", "--", *python_command]
