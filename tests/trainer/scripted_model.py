"""A scripted model and a quiet context, for the tests of the stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from sandbox.pool import Sandbox
from tests.trainer.second_largest import TEXT, sample
from trainer.profile import PROFILES, Profile
from trainer.progress import ProgressReporter
from trainer.run.store import Store
from trainer.sampling.answers import StopRule
from trainer.sampling.engines import Engines
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from trainer.stages.context import StageContext
from trainer.stages.skeletons import PLAN
from trainer.stages.tasks import OPENINGS
from ucoder_lsp.engine.engine import Engine

TINY = replace(PROFILES["tiny"], min_cluster=2, min_confidence=0.0)


class Script(Sampler):
    """A scripted model: answers each kind of prompt with fixed texts, and keeps the prompts."""

    def __init__(self, bodies: dict[str, list[str]]) -> None:
        """Write `bodies` for each function: those of the solutions that complete its bare stub."""
        self.bodies = bodies
        self.adapter = None
        engine = SimpleNamespace(model_id="script", chat_template="{{ messages[0]['content'] }}", vocab=SimpleNamespace(bos=None, eos=None))  # fmt: skip  # noqa: E501
        self.engines = Engines(cast("list[Engine]", [engine]))  # one at a time
        self.asked: list[str] = []

    def sample(self, prompt: Prompt, draw: Draw, stop: StopRule | None = None) -> list[Sample]:
        self.asked.append(prompt.text)
        own = prompt.text[prompt.n_shared :]
        if own in OPENINGS:
            texts = [f" {name} of some numbers" for name in self.bodies]
        elif own.endswith("Hint:"):
            name = next(name for name in self.bodies if name in own)
            texts = ["no form" if draw.seed == 0 else TEXT.replace("second_largest", name)]
        elif own.endswith("Quality:"):
            texts = [" 4\nDifficulty: 2"]
        elif own.endswith(PLAN):
            texts = [" sort them."]
        elif "Tests, edge cases" in own:
            texts = ["[3, 1, 2]) == 2"]
        else:
            name = next(name for name in self.bodies if f"{name}(" in own)
            texts = [f"def {name}(numbers):\n    return {body}\n" for body in self.bodies[name]]
        return [sample(texts[i % len(texts)]) for i in range(draw.n)]


def context(
    model: Sampler, folder: Path, sandbox: Sandbox, profile: Profile = TINY, **others: Any
) -> StageContext:
    """Make the context of the stages; nothing is printed."""
    quiet = ProgressReporter(console=Console(quiet=True))
    return StageContext(profile, model, Store(folder), sandbox, quiet, **others)
