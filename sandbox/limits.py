"""What one untrusted program may use. Plain data with no defaults read from anywhere else.

The configuration of the server, the trainer and the gate ends here: they build a `Limits` and pass it on.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


class LimitsError(ValueError):
    """A limit that makes no sense; the message names the field and says what is allowed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one job (one program with all its probes).

    The defaults suit a completion request: a candidate either answers in milliseconds or is of no use.
    """

    probe_wall_s: float = 0.5
    """Wall-clock seconds for each probe; loading the program counts as one probe."""
    job_wall_s: float = 3.0
    """Wall-clock seconds for the whole job. A probe that was not reached is reported as `wall`."""
    cpu_s: int = 3
    """CPU seconds of the whole job (RLIMIT_CPU has a resolution of one second)."""
    memory_bytes: int = 512 * MIB
    """Address space of the child (RLIMIT_AS), the interpreter's own share included."""
    result_bytes: int = 64 * 1024
    """Largest canonical value of one probe; a larger one ends as `output`."""
    stdout_bytes: int = 64 * 1024
    """Captured standard output of one probe; more ends as `output`."""

    def __post_init__(self) -> None:
        for name in ("probe_wall_s", "job_wall_s", "cpu_s", "memory_bytes", "result_bytes", "stdout_bytes"):
            if not getattr(self, name) > 0:
                raise LimitsError(f"{name} must be greater than 0, not {getattr(self, name)!r}")
        if self.job_wall_s < self.probe_wall_s:
            raise LimitsError(
                f"job_wall_s ({self.job_wall_s}) must be at least probe_wall_s ({self.probe_wall_s})"
            )
        if self.memory_bytes < 64 * MIB:
            raise LimitsError(f"memory_bytes must be at least {64 * MIB} (64 MiB): a bare Python needs that")
