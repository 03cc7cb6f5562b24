"""What one untrusted program may use. Plain data with no defaults read from anywhere else.

The configuration of the server, the trainer and the gate ends here: they build a `Limits` and pass it on.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
DAY_S = 86_400


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
    """CPU seconds of each of the job's children, of which it may use up eight (RLIMIT_CPU counts whole seconds)."""
    memory_bytes: int = 512 * MIB
    """Address space of the child (RLIMIT_AS), the interpreter's own share included. For JavaScript what the program
    holds beside Node's own share (RLIMIT_DATA)."""
    result_bytes: int = 64 * 1024
    """Largest canonical value of one probe; a larger one ends as `output`."""
    stdout_bytes: int = 64 * 1024
    """Captured standard output of one probe; more ends as `output`."""

    def __post_init__(self) -> None:
        for name, kinds, most in _SENSIBLE:
            value = getattr(self, name)
            if type(value) not in kinds or not 0 < value <= most:
                what = " or ".join(kind.__name__ for kind in kinds)
                raise LimitsError(f"{name} must be {what}, greater than 0 and at most {most}, not {value!r}")
        if self.job_wall_s < self.probe_wall_s:
            raise LimitsError(
                f"job_wall_s ({self.job_wall_s}) must be at least probe_wall_s ({self.probe_wall_s})"
            )
        if self.memory_bytes < 64 * MIB:
            raise LimitsError(f"memory_bytes must be at least {64 * MIB} (64 MiB): a bare Python needs that")


# What the kernel, the poll of the supervisor and the lengths in a frame can take, and more than any job needs.
_SENSIBLE: tuple[tuple[str, tuple[type, ...], int], ...] = (
    ("probe_wall_s", (int, float), DAY_S),
    ("job_wall_s", (int, float), DAY_S),
    ("cpu_s", (int,), DAY_S),
    ("memory_bytes", (int,), 1 << 46),
    ("result_bytes", (int,), 1024 * MIB),
    ("stdout_bytes", (int,), 1024 * MIB),
)
