"""The results: one outcome per probe, one result per job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox.values import Value


class Status(StrEnum):
    """The way a probe ended, always exactly one.

    Failures of the sandbox (INFRA) are kept apart from failures of the program. Likewise isolate
    keeps XX apart from RE, SG and TO.
    """

    OK = "ok"
    EXCEPTION = "exception"
    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    SIGNAL = "signal"
    SECCOMP = "seccomp"
    OUTPUT = "output"
    PROTOCOL = "protocol"
    NO_RESULT = "no-result"
    INFRA = "infra"
    """The sandbox itself failed, after retries. Never score it as a failure of the program."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one probe of one program."""

    status: Status
    value: Value | None = None
    """The canonical value; set exactly when `status` is OK."""
    exception: str = ""
    """Type name of the exception when `status` is EXCEPTION."""
    message: str = ""
    """The exception's text, or a description of the other statuses. Not part of the behaviour."""
    stdout: str = ""
    """The text that the probe printed, at most `Limits.stdout_bytes` bytes."""
    wall_s: float = 0.0
    """Seconds of the probe; 0 where it was too fast to be timed alone."""
    unstable: bool = False
    """Whether a second run under another hash seed answered differently (`sandbox.stability`)."""

    @property
    def crashed(self) -> bool:
        """Whether the program gave no value.

        A failure of the sandbox does not count as one.
        """
        return self.status not in (Status.OK, Status.INFRA)


@dataclass(frozen=True, slots=True)
class JobResult:
    """The one terminal record of a job.

    It holds how the program loaded, then one outcome per probe, in order.
    """

    load: Outcome
    outcomes: tuple[Outcome, ...]
    tier: int
    """The isolation tier of the run; 1 is full isolation (see `sandbox.tiers`)."""
    wall_s: float = 0.0
