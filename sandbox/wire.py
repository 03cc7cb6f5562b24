"""What travels between the supervisor and a child, and the only parser of what a child says.

Towards the child: one length-prefixed `marshal` blob (the child trusts the supervisor). Back: frames of
bounded size with a seeded checksum, in exact order; anything else is `ProtocolError`, never a pass.
"""

from __future__ import annotations

import binascii
import marshal
import math
import struct
from dataclasses import dataclass

from sandbox.errors import ArgumentError
from sandbox.jailed import canonical
from sandbox.outcome import Outcome, Status
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence
from sandbox.values import Malformed, Value

HEADER = struct.Struct("<II")
BODY = struct.Struct("<cIBdIIII")
_STATUSES = {0: Status.OK, 1: Status.EXCEPTION, 2: Status.MEMORY, 3: Status.OUTPUT}
_SLACK = 4096
"""Room in a frame for its header, the exception's name and its message."""


class ProtocolError(Exception):
    """A child said something that no honest child says."""


@dataclass(slots=True)
class Frame:
    """One checked frame: `kind` is L (loaded), P (probe) or E (end)."""

    kind: bytes
    index: int
    outcome: Outcome | None


# ------------------------------------------------------------------------------------------- to the child

_MUTABLE = (list, dict, set, bytearray)


class Encoded:
    """The probes of a job as the child gets them: made once for all candidates that share the probes.

    `scripts` maps the index of each `Script` probe to its text for standard input.
    """

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Raises `ArgumentError` for an argument that is not plain data."""
        self.plain = [_encode_probe(number, probe) for number, probe in enumerate(probes)]
        self.scripts = {i: probe.stdin for i, probe in enumerate(probes) if isinstance(probe, Script)}
        self._blobs: dict[int, bytes] = {}

    def blob(self, stop: int) -> bytes:
        """Probes up to `stop`, in marshal's version 2: no references, so probes share no mutable argument."""
        if stop not in self._blobs:
            self._blobs[stop] = marshal.dumps(self.plain[:stop], 2)
        return self._blobs[stop]


def _encode_probe(number: int, probe: Probe) -> tuple[object, ...] | None:
    match probe:
        case Call():
            args, kwargs, mutable = _arguments(number, probe)
            before = canonical.encode((args, kwargs)) if mutable else None
            return ("call", probe.function, args, kwargs, before)
        case Sequence():
            construct = _plain_call(number, probe.construct)
            return ("sequence", construct, tuple(_plain_call(number, step) for step in probe.steps))
        case Expression():
            return ("expression", probe.source)
        case Check():
            return ("check", probe.source)
        case Script():
            if type(probe.stdin) is not str:
                raise ArgumentError(f"probe {number}: stdin must be text, not {type(probe.stdin).__name__}")
            return None
    raise ArgumentError(f"probe {number} is a {type(probe).__name__}, which is not a kind of probe")


def _plain_call(number: int, call: Call) -> tuple[str, tuple[object, ...], dict[str, object]]:
    args, kwargs, _ = _arguments(number, call)
    return (call.function, args, kwargs)


def _arguments(number: int, call: Call) -> tuple[tuple[object, ...], dict[str, object], bool]:
    args, kwargs = tuple(call.args), dict(call.kwargs)
    mutable = False
    for value in (*args, *kwargs.values()):
        mutable |= _check(value, number, 0)
    return args, kwargs, mutable


_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})


def _check(value: object, number: int, depth: int) -> bool:
    """Refuse what is not plain data; returns whether the value could be changed by the program."""
    kind = type(value)
    if kind in _SCALARS:
        return False
    if depth > 50:
        raise ArgumentError(f"probe {number}: an argument is nested more than 50 deep, or holds itself")
    if kind in (list, tuple, set, frozenset):
        inner = [_check(item, number, depth + 1) for item in value]  # type: ignore[attr-defined]
        return kind in _MUTABLE or any(inner)
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            _check(key, number, depth + 1)
            _check(item, number, depth + 1)
        return True
    if kind is bytearray:
        return True
    raise ArgumentError(
        f"probe {number}: an argument is a {kind.__name__}; only plain data can enter the sandbox (None, "
        "bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)"
    )


def job_message(job: Job, seed: int, first: int, script: str | None, probes: bytes) -> bytes:
    """The one message a child gets: it runs `probes` from `first` on, or the one script."""
    limits = job.limits
    blob = marshal.dumps(
        (
            seed, job.program.source, "<candidate>", max(1, math.ceil(limits.cpu_s)), limits.memory_bytes,
            limits.result_bytes, limits.stdout_bytes, first, script, probes,
        ),
        2,
    )  # fmt: skip
    return struct.pack("<I", len(blob)) + blob


# ----------------------------------------------------------------------------------------- from the child


class FrameReader:
    """Splits one child's bytes into frames. Raises `ProtocolError`; then nothing of that child counts."""

    def __init__(self, seed: int, job: Job) -> None:
        self.seed = seed
        self.largest = job.limits.result_bytes + job.limits.stdout_bytes * 2 + _SLACK
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self.buffer += data
        frames = []
        while len(self.buffer) >= HEADER.size:
            size, checksum = HEADER.unpack_from(self.buffer)
            if not BODY.size <= size <= self.largest:
                raise ProtocolError("a frame of impossible size")
            if len(self.buffer) < HEADER.size + size:
                break
            payload = bytes(self.buffer[HEADER.size : HEADER.size + size])
            del self.buffer[: HEADER.size + size]
            if binascii.crc32(payload, self.seed) != checksum:
                raise ProtocolError("a damaged frame")
            frames.append(_parse(payload))
        return frames


def _parse(payload: bytes) -> Frame:
    kind, index, code, wall_s, n_value, n_exception, n_message, n_stdout = BODY.unpack_from(payload)
    at = BODY.size
    if at + n_value + n_exception + n_message + n_stdout != len(payload):
        raise ProtocolError("a frame whose parts do not add up")
    status = _STATUSES.get(code)
    if kind not in (b"L", b"P", b"E") or status is None:
        raise ProtocolError("a frame of unknown kind")
    if kind == b"E":
        return Frame(kind, index, None)
    value = payload[at : at + n_value]
    at += n_value
    texts = ["", "", ""]
    if at < len(payload):
        for i, n in enumerate((n_exception, n_message, n_stdout)):
            texts[i] = payload[at : at + n].decode("utf-8", "replace")
            at += n
    wall_s = wall_s if 0.0 <= wall_s < 1e6 else 0.0
    try:
        parsed = _value(value) if kind == b"P" and status is Status.OK else None
    except Malformed as error:
        raise ProtocolError(f"a value that is not canonical: {error}") from None
    return Frame(kind, index, Outcome(status, parsed, texts[0], texts[1], texts[2], wall_s))


_KNOWN: dict[bytes, Value] = {}


def _value(data: bytes) -> Value:
    """Check a value's bytes, once for all the candidates that return the same."""
    value = _KNOWN.get(data)
    if value is None:
        value = Value.parse(data)
        if len(_KNOWN) >= 4096:
            _KNOWN.clear()
        if len(data) <= 1024:
            _KNOWN[data] = value
    return value
