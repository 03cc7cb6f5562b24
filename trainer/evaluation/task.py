"""One task of a benchmark.

It holds what a prompt shows and how an answer is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sandbox.limits import MIB, Limits
from sandbox.outcome import Outcome, Status
from sandbox.program import Job, Probe, Program
from trainer.evaluation.oracles import Oracle, passes

LIMITS = Limits(probe_wall_s=10.0, job_wall_s=180.0, cpu_s=120, memory_bytes=1024 * MIB, result_bytes=4 * MIB)
"""Generous: a benchmark measures whether a program is right, not whether it is fast. The limit of a single input ends
a program that hangs."""
REFERENCE_LIMITS = replace(LIMITS, probe_wall_s=120.0, job_wall_s=900.0, cpu_s=900)
"""For reference solutions, which do not hang. That of Mbpp/599 takes 34 s for its 91 inputs on a slow machine; one
input took more than 20 s on a busy one."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a benchmark."""

    id: str
    statement: str
    """What the prompt template shows: a stub (HumanEval) or a sentence with one assert (MBPP+)."""
    template: str
    """Name of the prompt template."""
    function: str
    prelude: str
    """Imports and helpers that the task gives."""
    reference: str
    """A complete program that is right."""
    probes: tuple[Probe, ...]
    oracle: Oracle | None = None
    """How MBPP+ values are compared; None where the probes are the benchmark's own test function."""
    n_own: int | None = None
    """How many probes, counted from the first, come from MBPP itself; None where EvalPlus added none."""

    def job(self, source: str, probes: tuple[Probe, ...]) -> Job:
        """The job that runs a candidate on some of this task's probes."""
        return Job(Program(source), probes, LIMITS)

    def reference_job(self) -> Job:
        """The job that runs the reference solution on all probes."""
        return Job(Program(self.reference), self.probes, REFERENCE_LIMITS)

    def passed(self, got: Sequence[Outcome], expected: Sequence[Outcome] | None) -> bool:
        """Return whether a program with the outcomes `got` is right.

        `expected` are the outcomes of the reference solution.
        """
        if self.oracle is None or expected is None:
            return all(outcome.status is Status.OK for outcome in got)
        return passes(self.oracle, expected, got)
