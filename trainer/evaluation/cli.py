"""The command `ucoder eval`.

It measures pass@k of the served model, or of an adapter, on a benchmark file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sandbox.errors import SandboxError
from sandbox.pool import Sandbox
from trainer.errors import StoreError, TrainerError, disk_errors
from trainer.evaluation.benchmarks import BENCHMARKS, load_benchmark
from trainer.evaluation.evaluate import By, Report, evaluate, evaluate_references
from trainer.evaluation.statistics import Estimate
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from trainer.run.store import Store
from trainer.sampling.engines import open_engines
from trainer.sampling.sampler import Draw, Sampler
from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import Settings, load
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.files import aside_of, write_atomically
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.prepare import KINDS, prepare_model
from ucoder_lsp.models.served import model_path

CONTEXT_TOKENS = 4096


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--benchmark", type=click.Choice(sorted(BENCHMARKS)), required=True, help="format of FILE")
@click.option("--samples", type=click.IntRange(1, 200), default=1, show_default=True, help="samples per task")
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=None,
    help="sampling temperature (default: 0 for one sample, else 0.8)",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(16, 2048),
    default=384,
    show_default=True,
    help="largest answer, in tokens",
)
@click.option("--adapter", metavar="VERSION", help="version of an adapter (default: the base model)")
@click.option("--model", metavar="GGUF", help="a model file (default: the setting 'model')")
@click.option(
    "--quantization",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="how the model is quantized, as for serving",
)
@click.option("--limit", type=click.IntRange(1), help="measure only the first tasks of the file")
@click.option("--reference", is_flag=True, help="judge the reference solutions instead of a model")
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="keep the answers in this folder: the same command resumes from them",
)
@click.option(
    "--json",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="write figures and scores to this file",
)
def evaluate_command(
    file: Path, benchmark: str, samples: int, temperature: float | None, max_tokens: int, adapter: str | None,
    model: str | None, quantization: str, limit: int | None, reference: bool, keep: Path | None,
    output: Path | None,
) -> None:  # fmt: skip
    """Measure pass@k of the model on HumanEval or MBPP+.

    FILE is a local benchmark file: JSON lines, gzipped or not.

    With several samples, the report also shows how often the one that consensus chooses is right, as in the server.
    Answers run only in the sandbox, and expected values never enter it. Nothing is downloaded.
    """
    if reference and keep is not None:
        raise click.UsageError(
            "--keep stores a model's answers, and --reference samples no model: leave one out"
        )
    settings, _ = load({} if model is None else {"model": model})
    draw = Draw(
        samples, max_tokens, (0.0 if samples == 1 else 0.8) if temperature is None else temperature, seed=0
    )
    try:
        if output is not None:
            _require_place_for(output)
        tasks = load_benchmark(benchmark, file)[:limit]
        with Sandbox(lowest_tier=1) as sandbox, _answers_in(keep) as store:
            if reference:
                report = evaluate_references(tasks, sandbox, ProgressReporter())
            else:
                report = _evaluate_model(tasks, sandbox, draw, store, settings, quantization, adapter)
        _show(report, benchmark)
        if output is not None:
            with disk_errors(output):
                write_atomically(output, json.dumps(report.to_json(), indent=1) + "\n")
    except (TrainerError, SandboxError, ModelError, EngineError, AdapterError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _require_place_for(output: Path) -> None:
    """Check, before hours of measuring, that a report can be written there."""
    if output.exists() and not output.is_file():
        raise StoreError(f"{output} is not a regular file: give a file that --json may write.")
    with disk_errors(output):
        aside_of(output).touch()
        aside_of(output).unlink()


def _evaluate_model(
    tasks: list[Task],
    sandbox: Sandbox,
    draw: Draw,
    store: Store,
    settings: Settings,
    quantization: str,
    adapter: str | None,
) -> Report:
    prepared = prepare_model(model_path(settings), settings.cache_dir, quantization=quantization)
    with open_engines(
        prepared, n_ctx=CONTEXT_TOKENS, k_max=min(draw.n, 16), threads=settings.threads
    ) as engines:
        identity = None
        if adapter is not None:
            version = AdapterRegistry(settings.data_dir / "adapters", prepared.source_sha256).get(adapter)
            engines.load_adapter(version.path, version.identity)
            identity = version.identity
        sampler = Sampler(engines, identity)
        return evaluate(tasks, sampler, sandbox, draw, store, ProgressReporter())


@contextmanager
def _answers_in(keep: Path | None) -> Iterator[Store]:
    """Open the store of the answers: `keep`, or a temporary folder."""
    if keep is not None:
        yield Store(keep)
        return
    with tempfile.TemporaryDirectory(prefix="ucoder-eval-") as folder:
        yield Store(Path(folder))


FEWER_INPUTS = {By.OWN: "MBPP's own inputs", By.FIRST: "the first of them"}
"""Figures that are shown beside those by all inputs, where they differ."""


def _show(report: Report, benchmark: str) -> None:
    failed = [score.task for score in report.scores if score.passed == 0]
    click.echo(
        f"{benchmark}: {len(report.scores)} tasks, {report.n} sample(s) each, temperature {report.temperature}"
    )
    figures = [
        (f"pass@{k}", {by: report.pass_at(k, by) for by in By}) for k in (1, 5, 10, 100) if k <= report.n
    ]
    chosen, chosen_own = report.chosen(), report.chosen(own=True)
    if chosen is not None and chosen_own is not None:
        figures.append(("chosen", {By.ALL: chosen, By.OWN: chosen_own}))
    several_inputs = any(score.passed_first != score.passed for score in report.scores)
    for name, found in figures:
        click.echo(f"{name:9} {_percent(found[By.ALL])}")
        for by, which in FEWER_INPUTS.items():
            if several_inputs and by in found:
                click.echo(f"{'':9} {_percent(found[by])}, by {which} alone")
    if chosen is not None:
        click.echo(
            f"chosen: of each task's {report.n} samples the one that consensus chooses, as in the server"
        )
    extracted = sum(score.extracted for score in report.scores)
    click.echo(f"{extracted} of {sum(score.n for score in report.scores)} answers held a program")
    if failed and len(failed) <= 10:
        click.echo(f"failed: {', '.join(failed)}")


def _percent(found: Estimate) -> str:
    return f"{found.value:6.1%}   95 % interval {found.low:.1%} to {found.high:.1%}"
