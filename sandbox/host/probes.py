"""Check the probes of a job, and encode them for a language."""

from __future__ import annotations

from typing import Protocol

from sandbox.errors import ArgumentError
from sandbox.program import Call, Check, Expression, Job, Probe, Script, Sequence


class EncodedProbes(Protocol):
    """The probes of a job as one language's processes read them."""

    scripts: dict[int, str]
    """The standard input of each `Script` probe, by the probe's index."""

    def blob(self, stop: int) -> bytes:
        """Encode the probes below index `stop`."""

    @staticmethod
    def message(job: Job, seed: int, first: int, careful: bool, script: str | None, probes: bytes) -> bytes:
        """Build the one message for a process.

        The process runs `probes` from index `first` on, or the one script.

        `seed` is that of the checksums. With `careful` the process sends each answer at once.
        """


def check_probes(probes: tuple[Probe, ...]) -> None:
    """Check for every language that probes hold text where text is due.

    Raises `ArgumentError`.

    An instance of a subclass of `str` is refused: it cannot be sent, and its own methods may misreport it.
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
