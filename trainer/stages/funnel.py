"""The funnel of a run.

It counts what each stage kept and dropped, by reason, with examples for the report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KEPT_EXAMPLES = 8
"""Examples that the report shows for each reason."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The reason to drop an unusable task or problem."""

    reason: str


@dataclass(frozen=True, slots=True)
class FunnelExample:
    """A kept or dropped thing, as the report shows it."""

    title: str
    text: str


@dataclass(slots=True)
class Funnel:
    """Counts by stage and reason, and the first examples of each."""

    stages: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[FunnelExample]] = field(default_factory=dict)
    """By "STAGE: REASON"."""

    def count(self, stage: str, what: str, title: str = "", text: str = "") -> None:
        """Count one thing, and keep the first ones as examples."""
        self.stages.setdefault(stage, Counter())[what] += 1
        shown = self.examples.setdefault(f"{stage}: {what}", [])
        if text and len(shown) < KEPT_EXAMPLES:
            shown.append(FunnelExample(title, text))

    def replace(self, stage: str, counts: Counter[str]) -> None:
        """Set the counts of a stage, which becomes the last one."""
        self.stages.pop(stage, None)
        self.stages[stage] = counts
