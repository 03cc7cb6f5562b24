"""What comes out of the sandbox: a closed set of statuses, one outcome a probe, one result a job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox.values import Value


class Status(StrEnum):
    """How a probe ended. Exactly one of these, always (evidence: isolate keeps RE/SG/TO apart from XX)."""

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
    """The sandbox itself failed, after retries. Never to be scored as a failure of the program."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one probe of one program ended."""

    status: Status
    value: Value | None = None
    """The canonical value; set exactly when `status` is OK."""
    exception: str = ""
    """Type name of the exception when `status` is EXCEPTION."""
    message: str = ""
    """Exception text, or what the sandbox has to say about the other statuses. Not part of the behaviour."""
    stdout: str = ""
    """What the probe printed (bounded by `Limits.stdout_bytes`)."""
    wall_s: float = 0.0
    """Seconds it took; 0 where it was too quick to be measured by itself."""
    unstable: bool = False
    """True when a second run under another hash seed answered differently (see `sandbox.stability`)."""

    @property
    def crashed(self) -> bool:
        """True when the program gave no value; an infrastructure failure says nothing about the program."""
        return self.status not in (Status.OK, Status.INFRA)


@dataclass(frozen=True, slots=True)
class JobResult:
    """The one terminal record of a job: how loading the program went, then one outcome a probe, in order."""

    load: Outcome
    outcomes: tuple[Outcome, ...]
    tier: int
    """Isolation tier it ran under (1 is full; see `sandbox.tiers`)."""
    wall_s: float = 0.0
