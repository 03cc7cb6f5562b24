"""Measure how often the offered completion is right, against one sample and greedy.

    python -P benchmarks/offered.py benchmarks/development_harder.jsonl        # some minutes on 2 cores
    python -P benchmarks/offered.py benchmarks/development_harder.jsonl --cursor block
    python -P benchmarks/offered.py HumanEval.jsonl.gz --benchmark humaneval --chat --model qwen2.5-coder-0.5b
    python -P benchmarks/offered.py HumanEval-SingleLineInfilling.jsonl.gz --benchmark infilling --limit 200

Each task becomes a document with a cursor. The flow of the language server completes it, on the model and with the
settings that the server has. The cursor is in the empty body. With `--cursor block` the document already holds the
first half of the reference's body. With `--cursor line` it holds the whole body up to the first word of the last line.
With `--cursor hole` one line is missing. Tasks whose reference has no such place are left out. Sentences (MBPP+'s
format) become stubs with the parameters of the reference and the assert as an example.

The benchmark's own tests judge, in the sandbox:

- every candidate (the figure of one sample is their mean; filtered candidates count as wrong);
- what is offered out of K candidates;
- what is offered at temperature 0, out of a single candidate;
- with `--chat`, what the model answers when it is asked for the whole function in the chat, as `ucoder eval` does.

Differences are paired by task; their 95 % interval is a bootstrap over tasks. `--keep FOLDER` keeps the samples: a
killed run goes on, and changed rules judge the same samples. No request has a deadline here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from rich.console import Console

from benchmarks.places import CURSORS, FORMATS, Judge, Place, load_places
from benchmarks.recorded import RecordedEngine
from sandbox.consensus.calibration import expected_calibration_error
from sandbox.pool import Sandbox
from trainer.evaluation.statistics import Estimate, bootstrap_mean
from trainer.progress import ProgressReporter
from trainer.sampling.answers import end_of_answer, extract_function
from trainer.sampling.sampler import render
from ucoder_lsp.completion.flow import Choice, Completer
from ucoder_lsp.completion.forms import Ending, Form, Question
from ucoder_lsp.config import EMBEDDED, Settings
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling
from ucoder_lsp.models.prepare import KINDS, prepare_model
from ucoder_lsp.models.served import model_path

CHAT_TOKENS = 512
"""The most tokens of an answer in the chat, which holds the whole function."""
NO_DEADLINE_MS = 60_000


@dataclass(slots=True)
class Results:
    """The results of every place, in order."""

    offered: list[float] = field(default_factory=list)
    """1.0 where the offered completion is right."""
    sample: list[float] = field(default_factory=list)
    """The share of the candidates that is right."""
    any_right: list[float] = field(default_factory=list)
    decided_by: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, choice: Choice, place: Place, judge: Judge) -> None:
        texts = [place.program(text.text) for text in choice.insertable.texts]
        right = [judge.right(place.task, program) for program in texts]
        drawn = [right[text] for text, _ in choice.insertable.drawn]
        n = len([c for c in choice.generation.candidates if c.finish is not Finish.CANCELLED])
        chosen = choice.election.chosen
        self.offered.append(float(chosen is not None and drawn[chosen]))
        self.sample.append(sum(drawn) / n)
        self.any_right.append(float(any(drawn)))
        self.decided_by.append(decided_by(choice))
        self.confidence.append(choice.election.decision.confidence)
        self.seconds.append(
            choice.generation.prefill_s + choice.generation.decode_s + choice.election.execution_s
        )

    def by(self, how: str) -> list[bool]:
        return [decided == how for decided in self.decided_by]


async def complete_all(
    places: Sequence[Place], completer: Completer, judge: Judge, reporter: ProgressReporter, what: str
) -> Results:
    """Complete and judge every place."""
    results = Results()
    with reporter.stage(what, len(places), "places") as step:
        for number, place in enumerate(places, 1):
            choice = await completer.choose(place.context)
            results.add(choice, place, judge)
            step(number, f"{statistics.mean(results.offered):.1%} right")
    return results


def ask_in_chat(
    places: Sequence[Place], engine: RecordedEngine, judge: Judge, reporter: ProgressReporter
) -> list[float]:
    """Ask for the whole function, greedily, as `ucoder eval` does; 1.0 where the answer is right."""
    turn = chat.turn_renderer(engine.chat_template, engine.vocab)
    assert turn is not None, "--chat needs a model with a chat template"
    right = []
    with reporter.stage("in the chat", len(places), "places") as step:
        for number, place in enumerate(places, 1):
            task = place.task
            prompt = engine.tokenize(turn(render(task.template, statement=task.statement).text), special=True)
            request = GenerationRequest(
                tuple(prompt),
                k=1,
                max_tokens=CHAT_TOKENS,
                sampling=Sampling(temperature=0.0),
                stop_when=end_of_answer(task.function).find_end,
            )
            (answer,) = engine.submit(request).future.result().candidates
            program = extract_function(answer.text, task.function, task.prelude)
            right.append(float(program is not None and judge.right(task, program)))
            step(number, f"{statistics.mean(right):.1%} right")
    return right


def decided_by(choice: Choice) -> str:
    """Return how the text was chosen, as `Explanation.decided_by`."""
    if choice.election.by_consensus:
        return "consensus"
    if choice.election.chosen is None:
        return "nothing"
    return "guess" if choice.election.decision.guess is not None else "fluency"


def percent(found: Estimate, sign: str = "") -> str:
    low, value, high = (f"{100 * x:{sign}.1f}" for x in (found.low, found.value, found.high))
    return f"{value} ({low} to {high})"


def difference(first: Sequence[float], second: Sequence[float]) -> str:
    return percent(bootstrap_mean([a - b for a, b in zip(first, second, strict=True)]), "+")


def report(results: Results, greedy: Results, in_chat: Sequence[float] | None) -> str:
    """Format all figures as a table with one figure a line."""
    rows = [
        ("one sample", percent(bootstrap_mean(results.sample))),
        ("greedy offered", percent(bootstrap_mean(greedy.offered))),
        ("offered of K", percent(bootstrap_mean(results.offered))),
        ("any of K", percent(bootstrap_mean(results.any_right))),
        ("offered - one sample", difference(results.offered, results.sample)),
        ("offered - greedy", difference(results.offered, greedy.offered)),
        ("nothing offered", f"{100 * statistics.mean(results.by('nothing')):.1f}"),
        ("nothing offered, greedy", f"{100 * statistics.mean(greedy.by('nothing')):.1f}"),
    ]
    if in_chat is not None:
        ratio = sum(greedy.offered) / max(sum(in_chat), 1.0)
        rows += [
            ("in the chat", percent(bootstrap_mean(in_chat))),
            ("greedy offered / in the chat", f"{ratio:.2f}"),
        ]
    for how, n in Counter(results.decided_by).most_common():
        right = sum(good for good, by in zip(results.offered, results.decided_by, strict=True) if by == how)
        rows.append((f"chosen by {how}", f"{right:.0f} of {n} right, {100 * right / n:.1f}"))
    chosen = np.array(results.by("consensus"))
    if chosen.any():
        error = expected_calibration_error(
            np.array(results.confidence)[chosen], np.array(results.offered)[chosen]
        )
        rows.append(("calibration error of these", f"{error:.3f}"))
    rows.append(("p50 of a request", f"{statistics.median(results.seconds):.2f} s"))
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def question(text: str) -> Question:
    """Read a form and its details, such as `chat,docstring,newline`."""
    form, *details = text.split(",")
    endings = [detail for detail in details if detail in list(Ending)]
    if form not in list(Form) or set(details) - {"docstring", "rest", *Ending} or len(endings) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a question: try chat,docstring,newline")
    return Question(Form(form), "docstring" in details, "rest" in details, Ending(*endings or ["code"]))


def settings_of(arguments: argparse.Namespace) -> Settings:
    return replace(
        Settings(),
        candidates=arguments.candidates,
        temperature=arguments.temperature,
        max_tokens=arguments.max_tokens or Settings().max_tokens,
        deadline_ms=NO_DEADLINE_MS,
    )


def open_engine(arguments: argparse.Namespace, stack: ExitStack) -> RecordedEngine:
    """Load the model; the samples are kept in `--keep`, or in a temporary folder."""
    settings = replace(Settings(), model=arguments.model)
    prepared = prepare_model(model_path(settings), settings.cache_dir, quantization=arguments.quantization)
    engine = Engine.load(
        prepared.path,
        n_ctx=4096,
        k_max=max(arguments.candidates, 1),
        n_threads=arguments.threads,
        model_id=prepared.model_id,
        extra_buffers=prepared.extra_buffers,
    )
    stack.enter_context(engine)
    folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return RecordedEngine(engine, folder)


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model and of its samples."""
    parser.add_argument("--limit", type=int, help="so many places, evenly spread (default: all)")
    parser.add_argument("--model", default=EMBEDDED, help="as the setting 'model' (default: embedded)")
    parser.add_argument("--quantization", choices=KINDS, default="auto", help="kind to serve (default: auto)")
    parser.add_argument("--candidates", type=int, default=Settings().candidates, help="K (default: 8)")
    parser.add_argument("--temperature", type=float, default=Settings().temperature, help="(default: 0.6)")
    parser.add_argument("--max-tokens", type=int, help="new tokens (default: the server's)")
    parser.add_argument("--threads", type=int, help="CPU threads of the model (default: one per core)")
    parser.add_argument("--keep", type=Path, help="folder that keeps the samples")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a benchmark file")
    parser.add_argument("--benchmark", choices=FORMATS, default="mbppplus", help="format (default: mbppplus)")
    parser.add_argument(
        "--cursor", choices=CURSORS, default="body", help="place of the cursor (default: body)"
    )
    add_engine_options(parser)
    parser.add_argument(
        "--question",
        type=question,
        metavar="FORM,...",
        help="ask in this form: fill, chat or continue, then docstring, rest, newline or indent "
        "(default: that of the model's family)",
    )
    parser.add_argument("--chat", action="store_true", help="ask in the chat as well")
    arguments = parser.parse_args()
    places = load_places(arguments.file, arguments.benchmark, arguments.cursor, arguments.limit)
    settings = settings_of(arguments)
    with Sandbox(lowest_tier=1) as sandbox, ExitStack() as stack:
        reporter = ProgressReporter(console=Console(stderr=True))
        judge = Judge([place.task for place in places], sandbox, reporter)
        engine = open_engine(arguments, stack)

        def served(settings: Settings, what: str) -> Results:
            completer = Completer(cast(Engine, engine), sandbox, settings)
            if arguments.question is not None:
                completer.ask(arguments.question)
            return asyncio.run(complete_all(places, completer, judge, reporter, what))

        in_chat = ask_in_chat(places, engine, judge, reporter) if arguments.chat else None
        greedy = served(replace(settings, temperature=0.0), "greedy")
        sampled = served(settings, f"{settings.candidates} candidates")
        machine = f"{os.cpu_count()} CPUs, {platform.processor() or platform.machine()}"
        print(
            f"{arguments.file.name}: {len(places)} places, cursor in {arguments.cursor}, {engine.model_name}, "
            f"K = {settings.candidates} at {settings.temperature:g}, {settings.max_tokens} tokens, {machine}\n"
        )
        print("| figure | value |\n|---|---|\n" + report(sampled, greedy, in_chat))


if __name__ == "__main__":
    main()
