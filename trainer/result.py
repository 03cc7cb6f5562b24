"""The result of a training run.

It holds the acceptance of the adapter, and is written as result.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.evaluation.statistics import Estimate
from trainer.run.folder import RunFolder
from trainer.run.records import rename


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The comparison of an adapter with its base on held-out problems."""

    base: Estimate
    """Share of right samples, mean over problems."""
    adapter: Estimate
    gain: Estimate
    """Adapter minus base, paired by problem."""
    problems: int

    @property
    def accepted(self) -> bool:
        """Better than the base on average.

        The interval is informative, since a small run holds out few problems.
        """
        return self.problems > 0 and self.gain.value > 0

    @property
    def reason(self) -> str:
        """The result in one sentence, without its full stop."""
        if not self.problems:
            return "no problems were held out, so the adapter cannot be evaluated: use a larger profile"
        found = (
            f"{self.adapter.value:.1%} of its answers to {self.problems} held-out problems are right, "
            f"{self.base.value:.1%} of the base's (gain {100 * self.gain.value:+.1f} points, 95 % interval "
            f"{100 * self.gain.low:+.1f} to {100 * self.gain.high:+.1f})"
        )
        return found if self.accepted else f"{found}: it must be better to be published"


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a run: result.json of its arm."""

    version: str | None
    """The published adapter, None when it was not accepted."""
    served: bool
    """Whether servers use it from now on."""
    acceptance: Acceptance
    nights: int
    """Nights whose problems it was trained on."""
    programs: int
    """Selected by consensus, or drawn for the control arm."""
    examples: int
    """Made of these programs."""
    learned: int
    """The base's own answers whose tokens are learned too."""
    rehearsed: int
    """Own answers that are rehearsed."""
    dataset_sha256: str
    """Of ARM/dataset.jsonl."""
    own_answers_sha256: str | None
    """Of ARM/own-answers.jsonl, None where the profile has none."""
    report: Path


def read_result(run: RunFolder, arm: str) -> Result | None:
    """Read the result of an arm, None before its end.

    Raises as `RunFolder.read`.
    """
    return run.read(f"{arm}/result.json", Result)


def finished_nights(run: RunFolder, arm: str) -> int:
    """Return the nights in the result of an arm, 0 without one."""
    result = read_result(run, arm)
    return 0 if result is None else result.nights


rename(Result, acceptance="verdict")
