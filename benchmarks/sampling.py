"""Measure how fast a night samples: one engine, several, or a GPU.

    python -P benchmarks/sampling.py                # some minutes on 2 cores; leave the machine alone meanwhile

Compares one engine with all threads, one engine per core, and a GPU where torch finds one. The prompts are those of the
stage `tests`, for hand-written exercises under names that all get the first of the sixteen sets of examples. The
requests of the stage `solutions` are further rows, with short chat prompts and longer answers. The ways alternate, so
that a machine that slows down slows all of them. A GPU gets 64 times as many problems. Higher is better; ratios are
against one engine.
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
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.models.prepare import PreparedModel, prepare_model

PROFILE = PROFILES["small"]
N_CTX = 2048
ON_GPU = 64
"""Factor on the number of problems: a GPU is fast with hundreds of texts at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of every way (default: 3)")
    parser.add_argument("--problems", type=int, default=4, help="problems per round (default: 4)")
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
            for way, (engines, requests) in ways.items():
                started = time.monotonic()
                list(in_parallel(lambda one, engines=engines: sample(engines, one), requests, len(engines)))
                rates[way].append(60 * len(requests) / (time.monotonic() - started))
    print(
        f"{len(copies)} copies, {default_threads()} cores; problems per minute, median of {arguments.rounds}"
    )
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
    """Open the base on the GPU; None where torch finds none."""
    if not has_gpu():
        yield None
        return
    folder = prepare_base(model.source, bases, served=model.path).folder
    with open_on_gpu(model, folder, n_ctx=N_CTX) as engines:
        yield engines


def as_problem(exercise: Exercise) -> Problem:
    """Return a hand-written exercise as a problem.

    Its name is one that gets the first set of examples.
    """
    functions = (f"{exercise.function}_{number}" for number in itertools.count())
    made = (
        Problem(exercise.task, exercise.hint, function, exercise.stub.replace(exercise.function, function))
        for function in functions
    )
    return next(problem for problem in made if shot_set_of(problem.function) == 0)


def tests(problems: list[Problem], *, whole: bool) -> list[SampleRequest]:
    """Return the requests of the stage `tests`."""
    requests = [asserts.request(problem, PROFILE) for problem in problems]
    return [replace(one, prompt=Prompt(one.prompt.text)) if whole else one for one in requests]


def answers(problems: list[Problem], sampler: Sampler) -> list[SampleRequest]:
    """Return the requests of the stage `solutions`."""
    return [
        solutions.request(problem, problem.stub, PROFILE.solutions, PROFILE, sampler.chat)
        for problem in problems
    ]


def sample(engines: Engines, request: SampleRequest) -> None:
    Sampler(engines).sample(request.prompt, request.draw, request.stop)


if __name__ == "__main__":
    main()
