"""Stage `skeletons`: the beginnings that solutions complete (paper, section 2.3).

The first skeleton of a problem is its bare stub. The others are the stub with a plan that the model wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.sampling.sampler import Draw, Sample, render
from trainer.stages.context import SampleRequest, StageContext, seed_of
from trainer.stages.exercises import shot_set, shot_set_of
from trainer.stages.problems import Problem

STAGE = Stage("skeletons")
MAX_TOKENS = 48
TEMPERATURE = 0.7
N_SHOTS = 3
PLAN = "    # Plan:"


def run(context: StageContext, problems: Sequence[Problem]) -> list[list[str]]:
    """Write the skeletons of each problem."""

    def plan(problem: Problem) -> list[str]:
        return read(problem, context.sample(STAGE, request(problem, context.profile)))

    return context.each(STAGE.name, problems, plan)


def request(problem: Problem, profile: Profile) -> SampleRequest:
    """Request plans for all skeletons but the first, which has none."""
    shots = shot_set(shot_set_of(problem.function), N_SHOTS)
    prompt = render("plan", shots=shots, problem=problem, plan=PLAN)
    draw = Draw(profile.skeletons - 1, MAX_TOKENS, TEMPERATURE, seed_of(prompt, profile.seed), stop=("\n",))
    return SampleRequest(prompt, draw)


def read(problem: Problem, plans: Sequence[Sample]) -> list[str]:
    """Return the stub, and the stub with each distinct plan.

    Empty plans are dropped.
    """
    texts = dict.fromkeys(plan.text.strip() for plan in plans)
    return [problem.stub, *(f"{problem.stub}\n{PLAN} {text}" for text in texts if text)]
