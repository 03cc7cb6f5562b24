"""The stages in their order.

They lead from the base model to selected problems (paper, figure 2).

Each piece of work is a shard of the run folder. So a run that was killed continues where it was, and ends with the
same data set. The numbers come from the profile; the behaviour is judged by `sandbox`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.data import dataset
from trainer.data.dataset import TrainingExample
from trainer.sampling.sampler import Sampler
from trainer.stages import problems, ratings, selection, skeletons, solutions, tasks, tests
from trainer.stages.context import StageContext
from trainer.stages.problems import Problem
from trainer.stages.selection import Examined, Selected
from trainer.stages.solutions import Candidates

STAGES = (
    tasks.STAGE,
    problems.STAGE,
    ratings.STAGE,
    skeletons.STAGE,
    tests.STAGE,
    solutions.STAGE,
    selection.STAGE,
)
"""The stages in the order of `first_round`."""

Picked = tuple[Problem, Sequence[str], Sequence[str]]
"""A problem, programs that solve it, and asserts that hold for them."""


@dataclass(frozen=True, slots=True)
class Round:
    """The results of one round of self-training."""

    candidates: list[Candidates]
    """One item per problem."""
    examined: list[Examined]
    """One item per problem, in the same order."""
    selected: list[Selected]


def first_round(context: StageContext, nights: int = 1) -> Round:
    """Run all stages with the base model.

    The profile's number of tasks is sampled once per night; those of earlier nights are read from their shards.
    """
    sampled = tasks.run(context, nights)
    stated = problems.run(context, sampled)
    kept = ratings.run(context, stated)
    planned = skeletons.run(context, kept)
    tested = tests.run(context, kept)
    unsolved = [Candidates(problem, blocks) for problem, blocks in zip(kept, tested, strict=True)]
    candidates = solutions.run(context, unsolved, planned, lambda one: selection.examine(context, one).alike)
    selected, examined = selection.run(context, candidates)
    return Round(candidates, examined, selected)


def next_round(
    context: StageContext, last: Round, adapted: Sampler, held: Sequence[Selected], number: int
) -> Round:
    """Run the last two stages again, in round `number` (2 or later).

    The last adapter's answers join the candidates.

    The held-out problems are left as the base alone has solved them, since they judge the adapter. The adapter is not
    sampled without a value to show, or where no two solutions behave alike.
    """
    candidates = without(held, last.candidates)
    examined = [selection.examine(context, one) for one in candidates]
    claims = [one.claims[0] if one.claims and one.alike > 1 else None for one in examined]
    candidates = solutions.run_again(context, candidates, claims, adapted, number)
    selected, examined = selection.run(context, candidates, f", round {number}")
    return Round(candidates, examined, selected)


def without(held: Sequence[Selected], candidates: Sequence[Candidates]) -> list[Candidates]:
    """Leave out the held-out problems and all of the same name."""
    names = {item.problem.function for item in held}
    return [one for one in candidates if one.problem.function not in names]


def examples(context: StageContext, picked: Iterable[Picked]) -> list[TrainingExample]:
    """Make the training examples of the picked programs, in the order given."""
    made = [
        example
        for problem, sources, asserts in picked
        for example in dataset.examples(problem, sources, asserts, context.sampler.chat)
    ]
    context.funnel.replace("dataset", Counter({"examples": len(made)}))
    return made
