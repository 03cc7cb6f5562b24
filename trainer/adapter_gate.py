"""The gate of the loop: an adapter is published only if it solves held-out self-made problems better than its base.

No benchmark is asked, and no person: the truth about a held-out problem is the behaviour that consensus selected,
and a sample is right when it gives the same values. Both models are sampled as they are served, with the same
prompts and seeds. What it does not do: say how good the model is for people (see `ucoder eval`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.consensus.election import run_all
from sandbox.inputs import ProbeSet
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from trainer.evaluation.statistics import Estimate, bootstrap_mean
from trainer.sampling.answers import extract_function
from trainer.stages.selection import LIMITS, Selected


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found."""

    base: Estimate
    """Share of right samples, mean over problems."""
    adapter: Estimate
    gain: Estimate
    """Adapter minus base, paired by problem."""
    problems: int

    @property
    def accepted(self) -> bool:
        """Better than the base on average. The interval is for people: a small run has few held-out problems."""
        return self.problems > 0 and self.gain.value > 0

    @property
    def reason(self) -> str:
        """One sentence for a person."""
        if not self.problems:
            return "no problem was held out, so nothing can be said: use a larger profile"
        said = (
            f"{self.adapter.value:.1%} of its answers to {self.problems} held-out problems are right, "
            f"{self.base.value:.1%} of the base's (gain {100 * self.gain.value:+.1f} points, 95 % interval "
            f"{100 * self.gain.low:+.1f} to {100 * self.gain.high:+.1f})"
        )
        return said if self.accepted else f"{said}: it must be better to be published"


def compare(base: Sequence[float], adapter: Sequence[float]) -> Verdict:
    """The verdict on shares of right samples, one for each held-out problem, in the same order."""
    gains = [a - b for a, b in zip(adapter, base, strict=True)]
    return Verdict(bootstrap_mean(base), bootstrap_mean(adapter), bootstrap_mean(gains), len(gains))


def share_right(selected: Selected, inputs: ProbeSet, answers: Sequence[str], sandbox: Sandbox) -> float:
    """Share of the answers that behave like the selected program on every input that it answers."""
    programs = [extract_function(answer, selected.problem.function) for answer in answers]
    truth, *results = run_all([selected.sources[0], *programs], inputs.probes, sandbox=sandbox, limits=LIMITS)
    assert truth is not None, "a selected program is a program"
    return sum(result is not None and agrees(truth, result) for result in results) / len(programs)


def agrees(truth: JobResult, result: JobResult) -> bool:
    """Whether a program gives the same values wherever the selected one gives one."""
    pairs = [(t, r) for t, r in zip(truth.outcomes, result.outcomes, strict=True) if t.status is Status.OK]
    return bool(pairs) and all(r.status is Status.OK and r.value == t.value for t, r in pairs)
