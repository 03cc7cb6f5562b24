"""The resources that one untrusted program may use.

The server, the trainer and the gate build a `Limits` from their configuration and pass it on.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
DAY_S = 86_400


class LimitsError(ValueError):
    """Raised for a limit outside its range.

    The message names the field and the range.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """The resource limits of one job: a program with its probes.

    The defaults suit a completion request, where a slow candidate is useless.
    """

    probe_wall_s: float = 0.5
    """Wall-clock seconds per probe; loading the program counts as one probe."""
    job_wall_s: float = 3.0
    """Wall-clock seconds for the whole job. A probe that was not reached ends as `wall`."""
    cpu_s: int = 3
    """CPU seconds of each child of the job, which may use up eight children (RLIMIT_CPU counts whole seconds)."""
    memory_bytes: int = 512 * MIB
    """Bytes of address space per child, including the interpreter's share (RLIMIT_AS).

    For JavaScript: bytes of data on top of Node's own share (RLIMIT_DATA).
    """
    result_bytes: int = 64 * 1024
    """Bytes of the largest canonical value of one probe; a larger one ends as `output`."""
    stdout_bytes: int = 64 * 1024
    """Bytes of captured standard output of one probe; more ends as `output`."""

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
            raise LimitsError(f"memory_bytes must be at least {64 * MIB} (64 MiB), which Python itself needs")


# More than any job needs, and still valid for the kernel, the supervisor's poll and the lengths in a frame.
_SENSIBLE: tuple[tuple[str, tuple[type, ...], int], ...] = (
    ("probe_wall_s", (int, float), DAY_S),
    ("job_wall_s", (int, float), DAY_S),
    ("cpu_s", (int,), DAY_S),
    ("memory_bytes", (int,), 1 << 46),
    ("result_bytes", (int,), 1024 * MIB),
    ("stdout_bytes", (int,), 1024 * MIB),
)
