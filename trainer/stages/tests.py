"""Stage `tests`.

The model writes asserts, which the sandbox completes to probe inputs (paper, section 2.3).

A departure from the paper: tests are inputs first. Their asserted values are votes; about a third of them are right.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.inputs import ProbeSet, propose
from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.sampling.sampler import Draw, Sample, render
from trainer.stages.context import SampleRequest, StageContext, seed_of
from trainer.stages.exercises import shot_set, shot_set_of
from trainer.stages.problems import Problem
from trainer.stages.served_prompts import without_examples

STAGE = Stage("tests")
MAX_TOKENS = 72
TEMPERATURE = 0.8
N_SHOTS = 3


def run(context: StageContext, problems: Sequence[Problem]) -> list[tuple[str, ...]]:
    """Write blocks of asserts for each problem."""
    return context.each(STAGE.name, problems, lambda problem: blocks(context, problem))


def blocks(context: StageContext, problem: Problem) -> tuple[str, ...]:
    """Return the problem's blocks of asserts."""
    return read(problem, context.sample(STAGE, request(problem, context.profile)))


def request(problem: Problem, profile: Profile) -> SampleRequest:
    """Request blocks of asserts."""
    shots = shot_set(shot_set_of(problem.function), N_SHOTS)
    prompt = render("tests", shots=shots, problem=problem)
    draw = Draw(profile.asserts, MAX_TOKENS, TEMPERATURE, seed_of(prompt, profile.seed), stop=("```", "\n\n"))
    return SampleRequest(prompt, draw)


def read(problem: Problem, samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the blocks of asserts, the docstring's example first.

    The prompt held the first call's beginning.
    """
    lines = [line.strip() for line in problem.stub.splitlines()]
    at = next((i for i, line in enumerate(lines) if line.startswith(">>> ")), None)
    # The model wrote the docstring's example too: a vote like the others, not a constraint of an author.
    own = [] if at is None else [f"assert {lines[at][4:]} == {lines[at + 1]}"]
    return (*own, *(f"assert {problem.function}({sample.text}" for sample in samples))


def probes_for(problem: Problem, tests: Sequence[str], profile: Profile) -> ProbeSet:
    """Make the probe inputs of a problem.

    Those of the asserts come first, completed from the signature's types.
    """
    return propose(
        without_examples(problem.stub),
        problem.function,
        tests=tests,
        budget=profile.probes,
        seed=profile.seed,
    )
