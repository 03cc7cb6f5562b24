"""The tools of every stage.

These are the model, the sandbox, the shards, the funnel and the progress.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sandbox.pool import Sandbox
from trainer.profile import Profile
from trainer.progress import ProgressReporter
from trainer.run.store import Stage, Store, digest
from trainer.sampling.answers import StopRule
from trainer.sampling.engines import in_parallel
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from trainer.stages.funnel import Funnel

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A prompt with the parameters of its samples."""

    prompt: Prompt
    draw: Draw
    stop: StopRule | None = None


@dataclass(frozen=True, slots=True)
class StageContext:
    """The tools that all stages share."""

    profile: Profile
    sampler: Sampler
    """The base model."""
    store: Store
    sandbox: Sandbox
    reporter: ProgressReporter
    excluded: frozenset[str] = frozenset()
    """Word runs that no problem may hold (`decontamination.word_shingles`)."""
    funnel: Funnel = field(default_factory=Funnel)

    def sample(self, stage: Stage, request: SampleRequest, sampler: Sampler | None = None) -> list[Sample]:
        """Return the samples of a request.

        They come from its shard where there is one.

        The model is the base, or `sampler`.
        """
        if request.draw.n < 1:
            return []
        model = sampler or self.sampler
        return model.sample_once(self.store, stage, request.prompt, request.draw, request.stop)

    def each(
        self, title: str, items: Sequence[T], work: Callable[[T], R], *, unit: str = "problems"
    ) -> list[R]:
        """Do the work on each item, in parallel, and report the progress.

        The results have the order of the items.
        """
        found = []
        with self.reporter.stage(title, len(items), unit) as step:
            for one in in_parallel(work, items, len(self.sampler.engines)):
                found.append(one)
                step(len(found), "")
        return found


def seed_of(prompt: Prompt, seed: int) -> int:
    """Derive the seed of a prompt from that of the run.

    Problems do not share their draws.
    """
    return int(digest([prompt.text, seed])[:8], 16)
