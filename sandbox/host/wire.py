"""Parse the frames that a child sends.

Frames have a bounded size, a seeded checksum and an exact order. Anything else is a `ProtocolError`, never a pass.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

from sandbox.outcome import Outcome, Status
from sandbox.program import Job
from sandbox.values import Malformed, Value

HEADER = struct.Struct("<II")
BODY = struct.Struct("<cIBdIIII")
_STATUSES = {0: Status.OK, 1: Status.EXCEPTION, 2: Status.MEMORY, 3: Status.OUTPUT}
MAX_BATCH = 128
_SLACK = 4096
"""Bytes of a frame for its header, the exception's name and its message."""


class ProtocolError(Exception):
    """Raised for bytes that no honest child sends."""


@dataclass(slots=True)
class Frame:
    """One checked frame.

    Its `kind` is one of:

    * S: the child is set up, with every limit in force;
    * L: the program has loaded;
    * P: answers, the first to probe `index`;
    * C: from now on each answer is sent at once;
    * T: the end before the last probe, because threads of the program are left: the rest needs a fresh child;
    * E: the end.
    """

    kind: bytes
    index: int
    outcomes: list[Outcome]


class FrameReader:
    """Splits one child's bytes into frames.

    After a `ProtocolError` nothing of that child counts.
    """

    def __init__(self, seed: int, job: Job) -> None:
        self.seed = seed
        most = max(job.limits.result_bytes * min(len(job.probes), MAX_BATCH), job.limits.stdout_bytes * 2)
        self.largest = most + job.limits.result_bytes + _SLACK
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes; raises `ProtocolError`."""
        self.buffer += data
        frames = []
        while len(self.buffer) >= HEADER.size:
            size, checksum = HEADER.unpack_from(self.buffer)
            if not BODY.size <= size <= self.largest:
                raise ProtocolError("a frame of invalid size")
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
    if kind not in (b"S", b"L", b"P", b"C", b"T", b"E") or status is None:
        raise ProtocolError("a frame of unknown kind")
    if kind in (b"S", b"C", b"T", b"E"):
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
    """Parse a batch, checked once for all candidates with the same answers."""
    outcomes = _BATCHES.get(payload)
    if outcomes is None:
        outcomes = _batch(payload, n)
        if len(_BATCHES) >= 512:
            _BATCHES.clear()
        if len(payload) <= 4096:
            _BATCHES[payload] = outcomes
    return outcomes


def _batch(payload: bytes, n: int) -> list[Outcome]:
    """Parse a batch of answers: their lengths, then their values."""
    at = BODY.size + 4 * n
    if not 0 < n <= MAX_BATCH or at > len(payload):
        raise ProtocolError("a batch of invalid size")
    outcomes = []
    for length in struct.unpack_from(f"<{n}I", payload, BODY.size):
        outcomes.append(_answer(payload[at : at + length]))
        at += length
    if at != len(payload):
        raise ProtocolError("a batch whose parts do not add up")
    return outcomes


_KNOWN: dict[bytes, Outcome] = {}


def _answer(data: bytes) -> Outcome:
    """Parse a value's bytes, checked once for all candidates that return it."""
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
