"""The command `ucoder train`: a night of self-training."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from sandbox.errors import SandboxError
from trainer.errors import TrainerError
from trainer.evaluation.benchmarks import statements
from trainer.models.base import require_libraries
from trainer.night import Arm, Options, ServedBase, prepare
from trainer.night import train as train_run
from trainer.profile import PROFILES
from trainer.progress import ProgressReporter, StageProgress
from trainer.result import Result, finished_nights, read_result
from trainer.run.folder import RunFolder, RunRecord
from trainer.stages.decontamination import word_shingles
from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.config import EMBEDDED, Settings, load
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.served import model_path

ARMS: tuple[Arm, ...] = ("consensus", "random")
RUN_NAME = click.option(
    "--run", "name", metavar="NAME", help="name of the run (default: the profile's name; status: the newest)"
)


@click.group("train")
def train() -> None:
    """Train the model on its own problems, tests and solutions.

    Consensus chooses what it learns. Everything happens on this machine, and nothing is downloaded. Needs the train
    extra.
    """


@train.command("run")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="small",
    show_default=True,
    help="; ".join(f"{profile.name}: {profile.what}" for profile in PROFILES.values()),
)
@click.option(
    "--base",
    metavar="PATH",
    help="a GGUF file or a Hugging Face folder (default: the model that is served)",
)
@click.option(
    "--served",
    metavar="GGUF",
    type=click.Path(path_type=Path),
    help="a GGUF of the same base to sample and serve: a quantized one, or one that llama.cpp's own converter made",
)
@RUN_NAME
@click.option(
    "--select",
    type=click.Choice(["consensus", "random"]),
    default="consensus",
    show_default=True,
    help="random: once the run is finished, train on as many unselected samples, to measure what consensus adds; its "
    "adapter is never served by itself",
)
@click.option(
    "--another",
    is_flag=True,
    help="add a night to a finished run: sample as many tasks again, and train on the problems of all nights",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="seed of all sampling: another one, under another --run name, shows how much of a figure is luck",
)
@click.option(
    "--qlora", is_flag=True, help="train on the base in 4 bits (NF4, bitsandbytes), for large bases"
)
@click.option(
    "--exclude",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="JSON lines whose texts no problem may repeat (8 words in a row): name the benchmarks you measure with",
)
def run_command(
    profile: str, base: str | None, served: Path | None, name: str | None, select: str, another: bool,
    seed: int, qlora: bool, exclude: tuple[Path, ...],
) -> None:  # fmt: skip
    """Train an adapter and publish it, if it beats the base on held-out problems of its own.

    A run that was killed or stopped continues with the same command. A running server serves the new adapter
    with its next completion; `ucoder adapters rollback` goes back.

    With --another the same command can run every night: each night adds problems to those of earlier ones.
    """
    if another and select == "random":
        raise click.UsageError("--select random measures finished nights: leave --another out")
    settings, _ = load({})
    console = Console(stderr=True)
    run = RunFolder(_runs(settings) / (name or profile))
    started = time.monotonic()
    try:
        require_libraries(four_bit=qlora)
        shingles = word_shingles(text for file in exclude for text in statements(file))
        arm: Arm = "random" if select == "random" else "consensus"
        options = Options(replace(PROFILES[profile], seed=seed), arm, qlora, shingles, another)
        with run.locked():
            reporter = ProgressReporter(run.progress, console)
            model = prepare(base or str(model_path(settings) or EMBEDDED), settings, reporter, served)
            result = train_run(run, model, options, settings, reporter)
    except (TrainerError, SandboxError, ModelError, EngineError, AdapterError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("Stopped. The same command continues from here.", err=True)
        sys.exit(130)
    minutes = (time.monotonic() - started) / 60
    if result.version is None:
        click.echo(f"No adapter was published after {minutes:.0f} minutes: {result.acceptance.reason}.")
    else:
        click.echo(
            f"Published {result.version} after {minutes:.0f} minutes. {_serving(result, model, settings)}"
        )
    learned = f" and {result.learned} own answers" if result.learned else ""
    click.echo(f"Data set: {result.examples} examples{learned}, SHA-256 {result.dataset_sha256}")
    if result.own_answers_sha256 is not None:
        click.echo(f"Rehearsed: {result.rehearsed} own answers, SHA-256 {result.own_answers_sha256}")
    click.echo(f"Report: {result.report}")


def _serving(result: Result, model: ServedBase, settings: Settings) -> str:
    if result.served:
        return "It is served from now on."
    if not model.is_configured(settings):
        return f"It is not served: to serve it, set model = {model.setting}"
    return f"It is not served: `ucoder adapters use {result.version}` serves it."


@train.command("status")
@RUN_NAME
def status_command(name: str | None) -> None:
    """Show the progress of a run, and its result."""
    settings, _ = load({})
    try:
        run = RunFolder(_runs(settings) / name) if name else _newest(_runs(settings))
        _show(run)
    except TrainerError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _show(run: RunFolder) -> None:
    about = run.read("run.json", RunRecord)
    if about is None:
        raise TrainerError(f"There is no run {run.path}: start one with `ucoder train run`.")
    nights = about.nights
    counted = f", {nights} nights" if nights > 1 else ""
    click.echo(f"Run {run.path.name}: base {about.base}, profile {about.profile['name']}{counted}")
    progress = run.read("progress.json", StageProgress)
    if run.is_at_work and progress:
        note = f" ({progress.note})" if progress.note else ""
        click.echo(f"At work: {progress.stage}, {progress.done} of {progress.total}{note}")
    elif progress and max(finished_nights(run, arm) for arm in ARMS) < nights:
        click.echo(
            f"Stopped in {progress.stage} at {progress.done} of {progress.total}: "
            "the command that started it continues from there."
        )
    for arm in ARMS:
        result = read_result(run, arm)
        if result is not None:
            outcome = f"published {result.version}" if result.version else "not published"
            click.echo(f"{arm}: {outcome}, {result.examples} examples, report {result.report}")
    for stage in sorted((run.path / "shards").glob("*")):
        click.echo(f"  {stage.name:<12} {sum(1 for _ in stage.glob('*.json')):>6} shards")


def _runs(settings: Settings) -> Path:
    return settings.data_dir / "runs"


def _newest(runs: Path) -> RunFolder:
    found = sorted(runs.glob("*/run.json"), key=lambda path: path.stat().st_mtime) if runs.is_dir() else []
    if not found:
        raise TrainerError(f"There is no run in {runs}: start one with `ucoder train run`.")
    return RunFolder(found[-1].parent)
