"""Stage `ratings`.

The model rates the clarity and difficulty of each problem (paper, section 2.3).

A departure from the paper: a rating is the mean of several samples, because one of a small model means little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.sampling.sampler import Draw, Sample, render
from trainer.stages.context import SampleRequest, StageContext, seed_of
from trainer.stages.exercises import shot_set_of
from trainer.stages.problems import Problem

STAGE = Stage("ratings")
MAX_TOKENS = 10
TEMPERATURE = 1.0
_RATING = re.compile(r"\s*([1-5])\s*\n+\s*Difficulty:\s*([1-5])")


@dataclass(frozen=True, slots=True)
class Rating:
    """The model's ratings of a problem.

    They are means over its answers in [1, 5], or 0 when none could be read.
    """

    quality: float
    difficulty: float


def run(context: StageContext, problems: Sequence[Problem]) -> list[Problem]:
    """Keep the best rated share.

    Problems whose prompts share examples follow one another.
    """

    def rate(problem: Problem) -> Rating:
        return read(context.sample(STAGE, request(problem, context.profile)))

    ratings = context.each(STAGE.name, problems, rate)
    order = sorted(range(len(problems)), key=lambda i: (-ratings[i].quality, i))
    best = set(order[: math.ceil(len(problems) * context.profile.keep_rated)])
    for i, (problem, rating) in enumerate(zip(problems, ratings, strict=True)):
        what = "kept" if i in best else "rated low"
        text = f"quality {rating.quality:.1f}, difficulty {rating.difficulty:.1f}\n\n{problem.task}"
        context.funnel.count(STAGE.name, what, problem.title, text)
    kept = [problem for i, problem in enumerate(problems) if i in best]
    return sorted(kept, key=lambda problem: shot_set_of(problem.function))


def request(problem: Problem, profile: Profile) -> SampleRequest:
    """Request ratings of the task, the signature and the first example."""
    lines = problem.stub.splitlines()
    signature = next(line for line in lines if line.startswith("def "))
    example = lines[next(i for i, line in enumerate(lines) if ">>>" in line) :][:2]
    outline = "\n".join([signature, *(line for line in example if '"""' not in line)])
    prompt = render("rating", problem=problem, outline=outline)
    draw = Draw(profile.ratings, MAX_TOKENS, TEMPERATURE, seed_of(prompt, profile.seed), stop=("\n\n", "\n#"))
    return SampleRequest(prompt, draw)


def read(samples: Sequence[Sample]) -> Rating:
    """Return the mean of the answers that can be read."""
    matches = [found for sample in samples if (found := _RATING.match(sample.text))]
    if not matches:
        return Rating(0.0, 0.0)
    return Rating(fmean(int(m.group(1)) for m in matches), fmean(int(m.group(2)) for m in matches))
