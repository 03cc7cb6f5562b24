"""How fast does a night sample? One engine with all threads, copies of one thread, or a GPU where there is one.

    python -P benchmarks/sampling.py                # some minutes on 2 cores; leave the machine alone meanwhile

The prompts are those of the loop's fourth stage (tests of the hand-written exercises, all with the same examples in
front, as one of sixteen problems of a run has), with the answers of its fifth as two more rows: short prompts in the
chat, longer answers. The ways alternate, so that a machine that slows down slows all of them. A GPU is asked for 64
times as much. Higher is better, ratios against one engine.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from trainer.hardware import has_gpu
from trainer.models.base import prepare_base
from trainer.profile import PROFILES
from trainer.sampling.engines import Engines, in_parallel, open_engines, open_on_gpu
from trainer.sampling.sampler import Prompt, Sampler
from trainer.stages import solutions
from trainer.stages import tests as asserts
from trainer.stages.context import SampleRequest
from trainer.stages.exercises import Exercise, exercises, shot_set_of
from trainer.stages.problems import Problem
from ucoder_lsp.config import load
from ucoder_lsp.engine.context import default_threads
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.models.prepare import PreparedModel, prepare_model

PROFILE = PROFILES["small"]
N_CTX = 2048
ON_GPU = 64
"""Times the problems: a GPU wants hundreds of texts at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that every way is measured")
    parser.add_argument("--problems", type=int, default=4, help="problems of a round")
    arguments = parser.parse_args()
    settings, _ = load({})
    model = prepare_model(None, settings.cache_dir)
    found = [as_problem(exercise) for exercise in exercises()[: arguments.problems]]
    with (
        one_engine(model) as one,
        open_engines(model, n_ctx=N_CTX, k_max=16) as copies,
        gpu_engines(model, settings.cache_dir / "bases") as gpu,
    ):
        ways = {
            "one engine, whole prompts": (one, tests(found, whole=True)),
            "copies, whole prompts": (copies, tests(found, whole=True)),
            "copies, kept prefixes": (copies, tests(found, whole=False)),
            "one engine, answers": (one, answers(found, Sampler(one))),
            "copies, answers": (copies, answers(found, Sampler(copies))),
        }
        if gpu is not None:
            ways["the GPU, whole prompts"] = (gpu, tests(found, whole=True) * ON_GPU)
            ways["the GPU, answers"] = (gpu, answers(found, Sampler(gpu)) * ON_GPU)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, (engines, asks) in ways.items():
                started = time.monotonic()
                list(in_parallel(lambda ask, engines=engines: sample(engines, ask), asks, len(engines)))
                rates[way].append(60 * len(asks) / (time.monotonic() - started))
    print(f"{len(copies)} copies, {default_threads()} cores; problems a minute, median of {arguments.rounds}")
    print("| way | problems/min | ratio |\n|---|---|---|")
    for way, measured in rates.items():
        against = rates["one engine, answers" if "answers" in way else "one engine, whole prompts"]
        print(f"| {way} | {median(measured):.1f} | {median(measured) / median(against):.2f} |")


@contextmanager
def one_engine(model: PreparedModel) -> Iterator[Engines]:
    with Engine.load(
        model.path, n_ctx=N_CTX, k_max=16, model_id=model.model_id, extra_buffers=model.extra_buffers
    ) as engine:
        yield Engines([engine])


@contextmanager
def gpu_engines(model: PreparedModel, bases: Path) -> Iterator[Engines | None]:
    """None where torch sees no GPU."""
    if not has_gpu():
        yield None
        return
    folder = prepare_base(model.source, bases, served=model.path).folder
    with open_on_gpu(model, folder, n_ctx=N_CTX) as engines:
        yield engines


def as_problem(exercise: Exercise) -> Problem:
    """A hand-written exercise as if the model had invented it, under a name that gets it the first set of examples."""
    functions = (f"{exercise.function}_{number}" for number in itertools.count())
    made = (
        Problem(exercise.task, exercise.hint, function, exercise.stub.replace(exercise.function, function))
        for function in functions
    )
    return next(problem for problem in made if shot_set_of(problem.function) == 0)


def tests(problems: list[Problem], *, whole: bool) -> list[SampleRequest]:
    """The requests of the stage `tests`."""
    requests = [asserts.request(problem, PROFILE) for problem in problems]
    return [replace(one, prompt=Prompt(one.prompt.text)) if whole else one for one in requests]


def answers(problems: list[Problem], sampler: Sampler) -> list[SampleRequest]:
    """The requests of the stage `solutions`."""
    return [
        solutions.request(problem, problem.stub, PROFILE.solutions, PROFILE, sampler.chat)
        for problem in problems
    ]


def sample(engines: Engines, request: SampleRequest) -> None:
    Sampler(engines).sample(request.prompt, request.draw, request.stop)


if __name__ == "__main__":
    main()
