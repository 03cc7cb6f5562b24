"""Run one candidate: read the job, load the program, answer its probes.

Everything here shares its process with hostile code, and nothing that it sends is trusted. The supervisor checks each
frame, and it alone holds the expected answers. A frame is (u32 length, u32 CRC of the payload seeded with the job's
number, payload). The CRC turns damage into a protocol error; it does not authenticate.
"""

from __future__ import annotations

import atexit
import builtins
import io
import struct
import sys

# `signal` itself turns numbers into enums and back: that costs 30 pages in a fresh fork.
from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # type: ignore[import-not-found]
from _thread import _count as count_threads
from binascii import crc32
from marshal import dumps, loads
from os import _exit, read, write
from resource import RLIMIT_AS, RLIMIT_CPU, RLIMIT_NPROC, setrlimit
from time import perf_counter
from typing import Any

from sandbox.jailed import built, canonical, program
from sandbox.jailed.awaited import AWAITED, event_loop, settle
from sandbox.jailed.stand_ins import Described, Frozen, Mutated
from sandbox.jailed.streams import Captured, Discarded, Given, OutputLimit, Printed

HEADER = struct.Struct("<II")
LENGTH = struct.Struct("<I")
BODY = struct.Struct("<cIBdIIII")  # kind, index, status, wall, lengths of value, exception, message, stdout
pack_header, pack_body, pack_length, unpack_length = HEADER.pack, BODY.pack, LENGTH.pack, LENGTH.unpack_from
SET_UP = BODY.pack(b"S", 0, 0, 0.0, 0, 0, 0, 0)
END = BODY.pack(b"E", 0, 0, 0.0, 0, 0, 0, 0)
THREADS_LEFT = BODY.pack(b"T", 0, 0, 0.0, 0, 0, 0, 0)
CAREFUL = BODY.pack(b"C", 0, 0, 0.0, 0, 0, 0, 0)
OK, EXCEPTION, MEMORY, OUTPUT = 0, 1, 2, 3
MESSAGE_BYTES = 1000
BATCH = 128
"""Most answers in one frame."""
BATCH_S = 0.003
"""Seconds after which answers are sent at once instead of in batches."""

MAX_TASKS = 1024
"""Most threads and processes of the jail's user. They are memory of the kernel, which no other limit counts.

A program that holds so many leaves none to the others of its jail. Tier 2 started by an ordinary user counts all
that this user runs.
"""

CHANNEL = 3
"""The only descriptor of the child."""
PIECE = 1 << 14
"""Bytes of the first read. Nearly every job is smaller, and memory for more would have to be mapped."""

REHEARSAL = """
def f(xs):
    total = [i * 2 for i in xs if i != 1]
    for item in sorted(total):
        if item > 2 and not isinstance(item, str):
            total.append(len(xs))
    return total

def g(*xs):
    return {"%s" % x: (x, {0.5}) for x in xs}
"""


def receive() -> "tuple[Any, ...]":
    """Read the one message of the supervisor: the job."""
    data = _piece(PIECE)
    while len(data) < 4:
        data += _piece(PIECE)
    missing = unpack_length(data)[0] + 4 - len(data)
    if missing:
        parts = [data]
        while missing:
            parts.append(_piece(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        data = b"".join(parts)
    job: "tuple[Any, ...]" = loads(data[4:])  # noqa: S302 - from the supervisor
    return job


def _piece(most: int) -> bytes:
    piece = read(CHANNEL, most)
    if not piece:
        _exit(0)  # the supervisor is gone, or had no job for this child
    return piece


class Child:
    """The state of one candidate's run.

    It is made in the zygote, so that a child allocates little.
    """

    def __init__(self) -> None:
        self.batch: list[bytes] = []
        self.out: list[bytes] = []
        self.batch_first = 0
        self.careful = self.announced = False
        self.inside = False
        self.rehearsing = False
        self.prepare()
        # As in `site`, which the jail does not load.
        builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
        signal(SIGALRM, self.on_alarm)
        sys.stderr = sys.__stderr__ = Discarded(0)  # type: ignore[misc, assignment]

    def serve(self) -> None:
        """Receive the job, set its limits, and perform it."""
        cpu_s, memory, job = receive()
        setitimer(ITIMER_REAL, 0 if job[0] else BATCH_S)
        setrlimit(RLIMIT_AS, (memory, memory))
        setrlimit(RLIMIT_CPU, (cpu_s, cpu_s + 1))
        setrlimit(RLIMIT_NPROC, (MAX_TASKS, MAX_TASKS))
        if job[6] is not None:
            self.connect(job[6])
        # Sent before anything of the program runs. A child that ends without this frame is a failure of the sandbox,
        # and no program can imitate one. Written without `frame`, which would touch three more pages.
        write(CHANNEL, pack_header(len(SET_UP), crc32(SET_UP, job[1])) + SET_UP)
        self.perform(job)

    def perform(self, job: "tuple[Any, ...]") -> None:
        """Load the program, answer its probes, and send the end frame."""
        careful, self.seed, source, self.result_limit, stdout_limit, first, script, probes = job
        self.careful = self.announced = careful
        self.stdout_limit = stdout_limit
        self.captured.room = stdout_limit
        last = END
        if script is not None:
            self.run_script(first, source)
        elif self.answer(b"L", 0, self.load, source):
            last = self.answer_all(first, loads(probes)[first:])  # noqa: S302 - from the supervisor as well
        self.end_batch()
        self.announced = True  # no frame may follow the end
        self.frame(last)
        self.flush()

    def rehearse(self) -> None:
        """Perform a job without sending, to specialise code and touch pages early."""
        calls = [("call", "f", dumps((([3, 1, 2],), {}), 2), True)] * 3
        calls += [("call", "g", dumps(((1, "text", None), {}), 2), False)]
        self.rehearsing = True
        self.perform((False, 1, REHEARSAL, 1 << 16, 1 << 16, 0, None, dumps(calls, 2)))
        self.rehearsing = False
        self.prepare()

    def prepare(self) -> None:
        """Allocate the namespace and the streams before a job arrives."""
        self.namespace: dict[str, Any] = program.module("candidate").__dict__
        self.captured = sys.stdout = Captured(0)

    # -------------------------------------------------------------------------------- program and probes

    def load(self, source: str) -> None:
        exec(self.code_of(source), self.namespace)

    def code_of(self, source: str) -> Any:
        """Compile the program, and provide what it needs beyond its code."""
        if "asyncio" in source:
            import asyncio

            asyncio.set_event_loop_policy(event_loop().JailPolicy())
        program.shown[0] = source
        return program.compiled(source)

    def connect(self, stdin: str) -> None:
        """Connect a script to its standard streams, by name and descriptor."""
        given = io.TextIOWrapper(Given(stdin.encode("utf-8", "surrogatepass")), "utf-8", "surrogatepass")
        given.mode = "r"  # type: ignore[misc]
        sys.stdin = sys.__stdin__ = given  # type: ignore[misc]
        self.captured = sys.__stdout__ = Printed()  # type: ignore[misc, assignment]
        program.open_streams_by_path()
        program.hide(2)

    def run_script(self, index: int, source: str) -> None:
        del sys.modules["candidate"]
        main: Any = program.module("__main__")
        main.__builtins__ = builtins
        code: list[Any] = []
        if not self.answer(b"L", 0, lambda _: code.append(self.code_of(source)), None):
            return
        printed: Any = self.captured

        def run(_: object) -> str:
            try:
                exec(code.pop(), main.__dict__)
            except SystemExit as stop:
                if stop.code not in (None, 0):
                    raise
            finally:
                program.end_threads()
                atexit._run_exitfuncs()  # as at the end of an interpreter
                if sys.stdout is not printed:
                    sys.stdout.flush()
                printed.collect()
            return b"".join(printed.parts).decode("utf-8", "surrogatepass")

        self.answer(b"P", index, run, None)

    def probe(self, probe: tuple[Any, ...]) -> Any:
        kind = probe[0]
        if kind == "expression":
            return settle(eval(program.compiled(probe[1], "eval", "<probe>"), self.namespace))
        if kind == "check":
            exec(program.compiled(probe[1], "exec", "<probe>"), self.namespace)
            return None
        return self.sequence(probe[1], probe[2])

    def call(self, probe: tuple[Any, ...]) -> Any:
        _, function, arguments, mutable = probe
        if type(arguments) is tuple:
            return self.call_with_objects(function, arguments)
        args, kwargs = loads(arguments) if type(arguments) is bytes else unpack(arguments)  # noqa: S302
        found = self.namespace[function] if function in self.namespace else self.find(function)
        result = found(*args, **kwargs)
        if type(result) in AWAITED:
            result = settle(result)
        if mutable and not same(arguments, args, kwargs):
            # Encoded before the comparison: an iterator's items may come from the arguments.
            result = Frozen(canonical.encode(result, self.result_limit))
            before = canonical.encode(unpack(arguments))
            if canonical.encode((args, kwargs), self.result_limit * 4) != before:
                return Mutated(result, args, kwargs)
        return result

    def call_with_objects(self, function: str, arguments: "built.Packed") -> Any:
        """Call with built arguments; the state of instances is compared, in the result and in the arguments."""
        args, kwargs = self.unpack(arguments)
        result = settle(self.find(function)(*args, **kwargs))
        result = Frozen(canonical.encode(result, self.result_limit, True))
        # Built again: to encode an iterator or a file before the call would use it up.
        return built.with_changes(result, self.unpack(arguments), (args, kwargs), self.result_limit * 4)

    def unpack(self, arguments: Any) -> Any:
        return built.build(arguments, self.namespace) if type(arguments) is tuple else unpack(arguments)

    def find(self, dotted: str) -> Any:
        if dotted in self.namespace:
            return self.namespace[dotted]
        first, *rest = dotted.split(".")
        if first in self.namespace:
            found = self.namespace[first]
        elif hasattr(builtins, first):
            found = getattr(builtins, first)
        else:
            raise NameError("name %r is not defined" % first)
        for name in rest:
            found = getattr(found, name)
        return found

    def sequence(self, construct: tuple[Any, ...], steps: tuple[Any, ...]) -> Any:
        args, kwargs = self.unpack(construct[1])
        obj = self.find(construct[0])(*args, **kwargs)
        results = []
        for name, arguments in steps:
            args, kwargs = self.unpack(arguments)
            target = obj
            for part in name.split("."):
                target = getattr(target, part)
            result = settle(target(*args, **kwargs))
            # Encoded at once: a later step may change what this one returned.
            if result is obj:
                result = Described("self", {})
            results.append(Frozen(canonical.encode(result, self.result_limit, True)))
        state = Frozen(canonical.encode(obj, self.result_limit, True))
        return [*results, state]

    # ----------------------------------------------------------------------------------------- answering

    def answer_all(self, first: int, probes: "list[Any]") -> bytes:
        """Answer probes in order; answers are collected and sent in batches.

        Returns the end frame. Where a thread of the program is left, it must not disturb the next probe, which a fresh
        child will answer.

        After `BATCH_S` an alarm sends the batch, so that a probe which hangs is not confused with one before it.
        From then on each answer is sent at once.
        """
        last = first + len(probes) - 1
        for index, probe in enumerate(probes, first):
            self.answer(b"P", index, self.call if probe[0] == "call" else self.probe, probe)
            if count_threads() and index < last:
                return THREADS_LEFT
            if self.careful or index % BATCH == BATCH - 1:
                self.flush()
        return END

    def on_alarm(self, *_: object) -> None:
        """End batching: from here on the supervisor receives each answer at once."""
        self.careful = True
        if self.inside:  # otherwise a frame may be half built; `answer` flushes it
            self.flush()

    def end_batch(self) -> None:
        """Pack the plain answers of the batch into one frame."""
        batch, self.batch = self.batch, []
        if batch:
            head = pack_body(b"B", self.batch_first, OK, 0.0, len(batch), 0, 0, 0)
            self.frame(b"".join([head, *map(pack_length, map(len, batch)), *batch]))

    def frame(self, payload: bytes) -> None:
        self.out.append(pack_header(len(payload), crc32(payload, self.seed)) + payload)

    def flush(self) -> None:
        """Send all collected frames."""
        self.end_batch()
        if self.careful and not self.announced:
            self.announced = True
            self.frame(CAREFUL)
        data, self.out = b"".join(self.out), []
        while data and not self.rehearsing:
            data = data[write(CHANNEL, data) :]

    def answer(self, kind: bytes, index: int, run: Any, argument: Any) -> bool:
        """Run one step and record its answer; returns whether it succeeded.

        A plain answer joins the batch, any other has a frame of its own.
        """
        captured = self.captured
        if captured.parts or captured.overflowed:
            self.captured = captured = Captured(self.stdout_limit)
        sys.stdout = captured
        value = exception = message = b""
        status = OK
        if self.careful and not self.announced:
            self.flush()
        started = perf_counter()
        self.inside = True
        try:
            result = run(argument)
            if kind == b"P":
                value = canonical.encode(result, self.result_limit)
                if not captured.parts and not captured.overflowed:
                    self.inside = False
                    if not self.batch:
                        self.batch_first = index
                    self.batch.append(value)
                    return True
        except (OutputLimit, canonical.TooLarge):
            status = OUTPUT
        except MemoryError:
            status = MEMORY
        except BaseException as error:
            status = EXCEPTION
            exception = type(error).__name__.encode("utf-8", "replace")[:200]
            message = describe(error)
        self.inside = False
        wall = perf_counter() - started
        if captured.overflowed:
            status = OUTPUT
        if status != OK:
            value = b""
        self.end_batch()
        stdout = b"".join(captured.parts)
        self.frame(
            pack_body(kind, index, status, wall, len(value), len(exception), len(message), len(stdout))
            + value + exception + message + stdout
        )  # fmt: skip
        if self.careful:
            self.flush()
        return status == OK


def describe(error: BaseException) -> bytes:
    """Read the exception's text.

    This runs the program's code, which may fail or return any text.
    """
    try:
        return str(error).encode("utf-8", "surrogatepass")[:MESSAGE_BYTES]
    except BaseException:
        return b"(its text cannot be read)"


def unpack(arguments: "bytes | str") -> Any:
    """Unpack fresh (args, kwargs).

    They come as source where marshal would lose a type (bytearray, range).
    """
    if isinstance(arguments, bytes):
        return loads(arguments)  # noqa: S302 - from the supervisor
    return eval(program.compiled(arguments, "eval"), {"inf": float("inf"), "nan": float("nan")})


def same(arguments: "bytes | str", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> bool:
    """Compare arguments quickly with their packed form.

    False also where only their order changed.
    """
    try:
        return dumps((args, kwargs), 2) == arguments
    except ValueError:
        return False
