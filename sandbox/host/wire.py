"""What travels between the supervisor and a child, and the only parser of what a child says.

Towards the child: one length-prefixed `marshal` blob (the child trusts the supervisor). Back: frames of
bounded size with a seeded checksum, in exact order; anything else is `ProtocolError`, never a pass.
"""

from __future__ import annotations

import binascii
import marshal
import struct
from dataclasses import dataclass
from typing import Protocol

from sandbox.errors import ArgumentError
from sandbox.outcome import Outcome, Status
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence
from sandbox.values import Malformed, Value

HEADER = struct.Struct("<II")
BODY = struct.Struct("<cIBdIIII")
_STATUSES = {0: Status.OK, 1: Status.EXCEPTION, 2: Status.MEMORY, 3: Status.OUTPUT}
MAX_BATCH = 128
_SLACK = 4096
"""Room in a frame for its header, the exception's name and its message."""


class ProtocolError(Exception):
    """A child said something that no honest child says."""


@dataclass(slots=True)
class Frame:
    """One checked frame.

    `kind` is S (set up, with every limit in force), L (loaded), P (answers, the first to probe `index`), C (none is
    kept back from now on) or E (end).
    """

    kind: bytes
    index: int
    outcomes: list[Outcome]


# ------------------------------------------------------------------------------------------- to the child

_MUTABLE = (list, dict, set, bytearray)


class EncodedProbes(Protocol):
    """What a language makes of a job's probes: one implementation for each language."""

    scripts: dict[int, str]

    def blob(self, stop: int) -> bytes: ...

    @staticmethod
    def message(
        job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes
    ) -> bytes: ...


class Encoded:
    """The probes of a job as the child gets them: made once for all candidates that share the probes.

    `scripts` maps the index of each `Script` probe to its text for standard input.
    """

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Raises `ArgumentError` for a probe that is not plain text and data."""
        check_probes(probes)
        self.plain = [_encode_probe(number, probe) for number, probe in enumerate(probes)]
        self.scripts = {i: probe.stdin for i, probe in enumerate(probes) if isinstance(probe, Script)}
        self._blobs: dict[int, bytes] = {}

    @staticmethod
    def message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
        return job_message(job, seed, first, careful, script, probes)

    def blob(self, stop: int) -> bytes:
        """Probes up to `stop`, in marshal's version 2: no references, so probes share no mutable argument."""
        if stop not in self._blobs:
            self._blobs[stop] = marshal.dumps(self.plain[:stop], 2)
        return self._blobs[stop]


def check_probes(probes: tuple[Probe, ...]) -> None:
    """For every language: refuse a probe without text where text is due.

    An instance of a subclass of `str` is none: it cannot be sent, and says what it likes about itself here.
    """
    for number, probe in enumerate(probes):
        match probe:
            case Call():
                _check_call(number, probe)
            case Sequence():
                _check_kind(number, "steps", probe.steps, tuple, list)
                for call in (probe.construct, *probe.steps):
                    _check_call(number, call)
            case Expression() | Check():
                _check_kind(number, "source", probe.source, str)
            case Script():
                _check_kind(number, "stdin", probe.stdin, str)
            case _:
                raise ArgumentError(
                    f"probe {number} is a {type(probe).__name__}, which is not a kind of probe"
                )


def _check_call(number: int, call: Call) -> None:
    _check_kind(number, "step", call, Call)
    _check_kind(number, "function", call.function, str)
    _check_kind(number, "args", call.args, tuple, list)
    _check_kind(number, "kwargs", call.kwargs, dict)
    for name in call.kwargs:
        _check_kind(number, "name of an argument", name, str)


def _check_kind(number: int, what: str, value: object, *kinds: type) -> None:
    if type(value) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ArgumentError(f"probe {number}: {what} must be {expected}, not {type(value).__name__}")


def _encode_probe(number: int, probe: Probe) -> tuple[object, ...] | None:
    match probe:
        case Call():
            return ("call", *_call(number, probe))
        case Sequence():
            steps = tuple(_call(number, step)[:2] for step in probe.steps)
            return ("sequence", _call(number, probe.construct)[:2], steps)
        case Expression():
            return ("expression", probe.source)
        case Check():
            return ("check", probe.source)
        case Script():
            return None


def _call(number: int, call: Call) -> tuple[str, bytes | str, bool]:
    """(function, arguments, whether they could be changed), the arguments packed for the child."""
    arguments = (tuple(call.args), dict(call.kwargs))
    traits = _Traits()
    for value in (*arguments[0], *arguments[1].values()):
        _check(value, number, 0, traits)
    packed = repr(arguments) if traits.unmarshallable else marshal.dumps(arguments, 2)  # type: ignore[arg-type]
    return call.function, packed, traits.mutable


@dataclass(slots=True)
class _Traits:
    """What was found among a call's arguments."""

    mutable: bool = False
    unmarshallable: bool = False


_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})


def _check(value: object, number: int, depth: int, traits: _Traits) -> None:
    """Refuse what is not plain data, and note what needs care."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth > 50:
        raise ArgumentError(f"probe {number}: an argument is nested more than 50 deep, or holds itself")
    traits.mutable |= kind in _MUTABLE
    traits.unmarshallable |= kind in (bytearray, range)
    if kind in (list, tuple, set, frozenset):
        for item in value:  # type: ignore[attr-defined]
            _check(item, number, depth + 1, traits)
        return
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            _check(key, number, depth + 1, traits)
            _check(item, number, depth + 1, traits)
        return
    if kind in (bytearray, range):
        return
    raise ArgumentError(
        f"probe {number}: an argument is a {kind.__name__}; only plain data can enter the sandbox (None, "
        "bool, int, float, complex, str, bytes, bytearray, range, list, tuple, dict, set, frozenset)"
    )


def job_message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
    """The one message a child gets: it runs `probes` from `first` on, or the one script."""
    limits = job.limits
    blob = marshal.dumps(
        (
            limits.cpu_s, limits.memory_bytes,
            (
                careful, seed, job.program.source, limits.result_bytes, limits.stdout_bytes, first, script,
                probes,
            ),
        ),
        2,
    )  # fmt: skip
    return struct.pack("<I", len(blob)) + blob


# ----------------------------------------------------------------------------------------- from the child


class FrameReader:
    """Splits one child's bytes into frames. Raises `ProtocolError`; then nothing of that child counts."""

    def __init__(self, seed: int, job: Job) -> None:
        self.seed = seed
        most = max(job.limits.result_bytes * min(len(job.probes), MAX_BATCH), job.limits.stdout_bytes * 2)
        self.largest = most + job.limits.result_bytes + _SLACK
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
    if kind == b"B":
        if code or wall_s or n_exception or n_message or n_stdout:
            raise ProtocolError("a batch with more than values")
        return Frame(b"P", index, _known_batch(payload, n_value))
    at = BODY.size
    if at + n_value + n_exception + n_message + n_stdout != len(payload):
        raise ProtocolError("a frame whose parts do not add up")
    status = _STATUSES.get(code)
    if kind not in (b"S", b"L", b"P", b"C", b"E") or status is None:
        raise ProtocolError("a frame of unknown kind")
    if kind in (b"S", b"C", b"E"):
        return Frame(kind, index, [])
    value = payload[at : at + n_value]
    at += n_value
    texts = ["", "", ""]
    for i, n in enumerate((n_exception, n_message, n_stdout)):
        texts[i] = payload[at : at + n].decode("utf-8", "replace")
        at += n
    wall_s = wall_s if 0.0 <= wall_s < 1e6 else 0.0
    parsed = _answer(value).value if kind == b"P" and status is Status.OK else None
    return Frame(kind, index, [Outcome(status, parsed, texts[0], texts[1], texts[2], wall_s)])


_BATCHES: dict[bytes, list[Outcome]] = {}


def _known_batch(payload: bytes, n: int) -> list[Outcome]:
    """Answers in one frame: checked once for all candidates that answer everything alike."""
    outcomes = _BATCHES.get(payload)
    if outcomes is None:
        outcomes = _batch(payload, n)
        if len(_BATCHES) >= 512:
            _BATCHES.clear()
        if len(payload) <= 4096:
            _BATCHES[payload] = outcomes
    return outcomes


def _batch(payload: bytes, n: int) -> list[Outcome]:
    """Answers in one frame: their lengths, then their values."""
    at = BODY.size + 4 * n
    if not 0 < n <= MAX_BATCH or at > len(payload):
        raise ProtocolError("a batch of impossible size")
    outcomes = []
    for length in struct.unpack_from(f"<{n}I", payload, BODY.size):
        outcomes.append(_answer(payload[at : at + length]))
        at += length
    if at != len(payload):
        raise ProtocolError("a batch whose parts do not add up")
    return outcomes


_KNOWN: dict[bytes, Outcome] = {}


def _answer(data: bytes) -> Outcome:
    """The outcome that a value's bytes stand for: checked once for all candidates that return the same."""
    outcome = _KNOWN.get(data)
    if outcome is None:
        try:
            outcome = Outcome(Status.OK, Value.parse(data))
        except Malformed as error:
            raise ProtocolError(f"a value that is not canonical: {error}") from None
        if len(_KNOWN) >= 4096:
            _KNOWN.clear()
        if len(data) <= 1024:
            _KNOWN[data] = outcome
    return outcome
