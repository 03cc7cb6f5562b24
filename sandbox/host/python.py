"""Run Python in children that one zygote per jail forks."""

from __future__ import annotations

import ast
import marshal
import struct
from contextlib import suppress
from dataclasses import dataclass, field

from sandbox.errors import ArgumentError, ProgramError
from sandbox.host.jail import JailConfig
from sandbox.host.job_run import JobRun
from sandbox.host.probes import check_probes
from sandbox.host.runtime import Runtime
from sandbox.host.supervisor import Supervisor
from sandbox.program import Built, Call, Check, Expression, Job, Probe, Script, Sequence

KNOWN_PROBES = 64
"""Most encodings kept, since the candidates of one task share their probes."""


class PythonRuntime(Runtime):
    """Hands Python runs to the supervisor of the zygotes."""

    extensions = (".py",)
    compiler = (
        "def check(source):\n    start = source[:1] == '\\ufeff'\n"
        "    compile(source[start:], '<program>', 'exec', dont_inherit=True)\n"
    )

    def __init__(self, config: JailConfig, workers: int, prefork: int) -> None:
        self._encoded: dict[int, tuple[tuple[Probe, ...], EncodedForPython]] = {}
        self.supervisor = Supervisor(config, workers, prefork)

    @staticmethod
    def read_call(text: str) -> Probe:
        try:
            node = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            raise ArgumentError(f"{text!r} is not a Python expression: {error.msg}") from None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = {k.arg: k.value for k in node.keywords if k.arg is not None}
            with suppress(ValueError, TypeError):
                if len(named) == len(node.keywords):  # no `**`
                    args = tuple(ast.literal_eval(arg) for arg in node.args)
                    kwargs = {name: ast.literal_eval(arg) for name, arg in named.items()}
                    return Call(node.func.id, args, kwargs)
        return Expression(text)

    def encode(self, job: Job) -> EncodedForPython:
        if "\0" in job.program.source:
            raise ProgramError("the program contains a NUL character, which Python source must not")
        key = id(job.probes)
        known = self._encoded.get(key)
        if known is None or known[0] is not job.probes:
            if len(self._encoded) >= KNOWN_PROBES:
                self._encoded.clear()
            known = self._encoded[key] = (job.probes, EncodedForPython(job.probes))
        return known[1]

    def submit(self, runs: list[JobRun]) -> None:
        self.supervisor.submit(runs)

    def abandon(self, runs: list[JobRun]) -> None:
        self.supervisor.abandon(runs)

    def running(self) -> int:
        return len(self.supervisor.running)

    def zygotes(self) -> list[int]:
        return [worker.pid for worker in list(self.supervisor.workers.values())]

    def close(self) -> None:
        self.supervisor.close()


class EncodedForPython:
    """The probes of a job, encoded once for all its candidates."""

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Encode probes.

        Raises `ArgumentError` for one that is not plain text and data.
        """
        check_probes(probes)
        self.plain = [_encode_probe(number, probe) for number, probe in enumerate(probes)]
        self.scripts = {i: probe.stdin for i, probe in enumerate(probes) if isinstance(probe, Script)}
        self._blobs: dict[int, bytes] = {}

    @staticmethod
    def message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
        return job_message(job, seed, first, careful, script, probes)

    def blob(self, stop: int) -> bytes:
        # Version 2 of marshal has no references, so probes share no mutable argument.
        if stop not in self._blobs:
            self._blobs[stop] = marshal.dumps(self.plain[:stop], 2)
        return self._blobs[stop]


def job_message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
    """Build the one message for a child: a length-prefixed `marshal` blob.

    The child trusts it.
    """
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


def _encode_probe(number: int, probe: Probe) -> tuple[object, ...] | None:
    match probe:
        case Call():
            return ("call", *_encode_call(number, probe))
        case Sequence():
            steps = tuple(_encode_call(number, step)[:2] for step in probe.steps)
            return ("sequence", _encode_call(number, probe.construct)[:2], steps)
        case Expression():
            return ("expression", probe.source)
        case Check():
            return ("check", probe.source)
        case Script():
            return None


Packed = bytes | str | tuple[str, tuple[str, ...]]
"""Arguments as marshal data, as source of plain data, or as source that is built with these modules."""


def _encode_call(number: int, call: Call) -> tuple[str, Packed, bool]:
    """Pack the arguments; returns (function, arguments, whether a call can change them)."""
    arguments = (tuple(call.args), dict(call.kwargs))
    traits = _Traits()
    for value in (*arguments[0], *arguments[1].values()):
        _check_plain(value, number, 0, traits)
    if traits.built:
        return call.function, (repr(arguments), tuple(sorted(traits.modules))), True
    packed = repr(arguments) if traits.unmarshallable else marshal.dumps(arguments, 2)  # type: ignore[arg-type]
    return call.function, packed, traits.mutable


@dataclass(slots=True)
class _Traits:
    """Properties of a call's arguments that decide how they are packed."""

    mutable: bool = False
    unmarshallable: bool = False
    built: bool = False
    modules: set[str] = field(default_factory=set)


_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_MUTABLE = (list, dict, set, bytearray)
_MAX_DEPTH = 50


def _check_plain(value: object, number: int, depth: int, traits: _Traits) -> None:
    """Refuse everything but plain data, and note its traits."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is Built:
        for text in (value.text, *value.modules):  # type: ignore[attr-defined]
            if type(text) is not str:
                raise ArgumentError(
                    f"probe {number}: a built argument must be str, not {type(text).__name__}"
                )
        traits.built = True
        traits.modules.update(value.modules)  # type: ignore[attr-defined]
        return
    if depth > _MAX_DEPTH:
        raise ArgumentError(
            f"probe {number}: an argument is nested more than {_MAX_DEPTH} deep, or holds itself"
        )
    traits.mutable |= kind in _MUTABLE
    traits.unmarshallable |= kind in (bytearray, range)
    if kind in (list, tuple, set, frozenset):
        for item in value:  # type: ignore[attr-defined]
            _check_plain(item, number, depth + 1, traits)
        return
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            _check_plain(key, number, depth + 1, traits)
            _check_plain(item, number, depth + 1, traits)
        return
    if kind in (bytearray, range):
        return
    raise ArgumentError(
        f"probe {number}: an argument is a {kind.__name__}; only plain data can enter the sandbox (None, "
        "bool, int, float, complex, str, bytes, bytearray, range, list, tuple, dict, set, frozenset)"
    )
