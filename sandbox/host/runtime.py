"""The interface of a language: one class that runs its programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from sandbox.host.jail import JailConfig
from sandbox.host.job_run import JobRun
from sandbox.host.probes import EncodedProbes
from sandbox.program import Job, Probe


class Runtime(ABC):
    """Runs the programs of one language; completes each run exactly once.

    A further language is one subclass in a module of its own, and one line in `sandbox.host.languages`.
    All methods may be called from several threads.
    """

    extensions: ClassVar[tuple[str, ...]]
    """The file name extensions of its programs, with their dot."""
    compiler: ClassVar[str]
    """A program in the language whose `check(source)` compiles another program without running it."""

    @abstractmethod
    def __init__(self, config: JailConfig, workers: int, prefork: int) -> None:
        """Prepare at most `workers` jails.

        A setting that does not apply to the language is ignored.

        Raises `SandboxUnavailable` where no jail can be started.
        """

    @staticmethod
    @abstractmethod
    def read_call(text: str) -> Probe:
        """Read a call such as `f(1, [2])`.

        Returns a `Call` for literal arguments, otherwise an `Expression`.

        Raises `ArgumentError` for text that cannot be an expression of the language.
        """

    @abstractmethod
    def encode(self, job: Job) -> EncodedProbes:
        """Check a job and encode its probes.

        Raises `ArgumentError`, `ProgramError`, `InterpreterMissing`, or `SandboxUnavailable` where the language needs
        stronger isolation than this host offers.
        """

    @abstractmethod
    def submit(self, runs: list[JobRun]) -> None:
        """Accept runs; raises `SandboxUnavailable` after `close`."""

    @abstractmethod
    def abandon(self, runs: list[JobRun]) -> None:
        """Cancel runs: end their processes, and do not start the waiting ones."""

    @abstractmethod
    def running(self) -> int:
        """Count the runs that have a process at this moment."""

    def zygotes(self) -> list[int]:
        """List the process numbers of the zygotes, oldest first.

        A zygote forks one child per candidate.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """End every process. Unfinished runs are completed as `infra`."""
