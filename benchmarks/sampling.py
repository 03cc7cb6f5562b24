"""How fast does a night sample? One engine with all threads or copies of one thread, prompts computed whole or in part.

    python -P benchmarks/sampling.py                # some minutes on 2 cores; leave the machine alone meanwhile

The prompts are those of the loop's fifth stage (solutions of the hand-written exercises, bare stubs and planned ones,
all with the same examples in front, as 17 of 272 problems of a `small` run have), with the answers of the second
round as two more rows: short prompts, longer answers. The ways alternate, so that a machine that slows down slows all
of them. Higher is better, ratios against one engine.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from trainer import dataset, stages
from trainer.engines import Engines, in_parallel, open_engines
from trainer.extract import end_of_answer
from trainer.problems import Exercise, Problem, exercises
from trainer.profile import PROFILES
from trainer.sampler import Draw, Prompt, Sampler
from ucoder_lsp import models
from ucoder_lsp.config import load
from ucoder_lsp.engine.context import default_threads
from ucoder_lsp.engine.engine import Engine

PROFILE = PROFILES["small"]
N_CTX = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that every way is measured")
    parser.add_argument("--problems", type=int, default=4, help="problems of a round")
    arguments = parser.parse_args()
    settings, _ = load({})
    model = models.resolve(None, settings.cache_dir)
    found = [as_problem(exercise) for exercise in exercises()[: arguments.problems]]
    with one_engine(model) as one, open_engines(model, n_ctx=N_CTX, k_max=16) as copies:
        ways = {
            "one engine, whole prompts": (one, solutions(found, whole=True)),
            "copies, whole prompts": (copies, solutions(found, whole=True)),
            "copies, kept prefixes": (copies, solutions(found, whole=False)),
            "one engine, answers": (one, answers(found, Sampler(one))),
            "copies, answers": (copies, answers(found, Sampler(copies))),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, (engines, asks) in ways.items():
                started = time.monotonic()
                list(in_parallel(lambda ask, engines=engines: sample(engines, ask), asks, len(engines)))
                rates[way].append(60 * len(found) / (time.monotonic() - started))
    print(f"{len(copies)} copies, {default_threads()} cores; problems a minute, median of {arguments.rounds}")
    print("| way | problems/min | ratio |\n|---|---|---|")
    for way, measured in rates.items():
        against = rates["one engine, answers" if "answers" in way else "one engine, whole prompts"]
        print(f"| {way} | {median(measured):.1f} | {median(measured) / median(against):.2f} |")


@contextmanager
def one_engine(model: models.PreparedModel) -> Iterator[Engines]:
    with Engine.load(
        model.path, n_ctx=N_CTX, k_max=16, model_id=model.model_id, extra_buffers=model.extra_buffers
    ) as engine:
        yield Engines([engine])


def as_problem(exercise: Exercise) -> Problem:
    """A hand-written exercise as if the model had invented it, under a name that gets it the first set of examples."""
    functions = (f"{exercise.function}_{number}" for number in itertools.count())
    made = (
        Problem(
            exercise.topic, exercise.title, exercise.task, exercise.hint, function,
            exercise.stub.replace(exercise.function, function),
        )
        for function in functions
    )  # fmt: skip
    return next(problem for problem in made if stages.shots_of(problem) == 0)


def solutions(problems: list[Problem], *, whole: bool) -> list[tuple[stages.Ask, str]]:
    """Stage 5's requests, in its order."""
    asks = []
    for planned in (False, True):
        for problem in problems:
            skeleton = problem.stub + (f"\n{stages.PLAN} go through the values." if planned else "")
            ask = stages.ask_solutions(problem, skeleton, PROFILE.solutions // 2, PROFILE)
            asks.append((replace(ask, prompt=Prompt(ask.prompt.text)) if whole else ask, ""))
    return asks


def answers(problems: list[Problem], sampler: Sampler) -> list[tuple[stages.Ask, str]]:
    """The second round's requests, by the base instead of an adapter."""
    asks = []
    for problem in problems:
        claim = f"assert {problem.function}(1) == 1"
        draw = Draw(PROFILE.solutions // 2, 256, PROFILE.solution_temperature, seed=0)
        for text in dataset.served_prompts(problem, claim, sampler.chat):
            asks.append((stages.Ask(Prompt(text), draw), problem.function))
    return asks


def sample(engines: Engines, asked: tuple[stages.Ask, str]) -> None:
    ask, function = asked
    end = end_of_answer(function) if function else stages.end_of_function
    Sampler(engines).sample(ask.prompt, ask.draw, end)


if __name__ == "__main__":
    main()
