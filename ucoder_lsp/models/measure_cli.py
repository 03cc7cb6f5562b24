"""The command `ucoder models measure`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from ucoder_lsp.config import Settings
from ucoder_lsp.models.choose import LIMIT_S
from ucoder_lsp.models.measurements import Measurement
from ucoder_lsp.models.served import ModelHere, find_model, models_here
from ucoder_lsp.models.shelf import Shelf, reports_errors
from ucoder_lsp.models.trial import measure


@click.command("measure")
@click.argument("models", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--again", is_flag=True, help="Measure again what was measured on this CPU before.")
@click.pass_obj
@reports_errors
def measure_command(shelf: Shelf, models: tuple[str, ...], again: bool) -> None:
    """Find the kind of weights in which each model is fastest here, and keep it.

    Tries the published file, IQ4_NL, Q4_0 and Q8_0 for about a second each, and scores a text with each. The
    fastest kind is served from the next start on, if its perplexity is within 2 % of the published file's.
    Without a name, every model on this machine is measured. The exit status is 1 if one does not run here.
    """
    settings = shelf.settings
    named = [find_model(name, settings) for name in models] or list(models_here(settings).values())
    run = [show_measured(model, settings, again=again) for model in named]
    if not all(run):
        raise SystemExit(1)


def show_measured(model: ModelHere, settings: Settings, *, again: bool = False) -> bool:
    """Measure a model, unless it was, and print the table.

    Returns whether the model runs here.

    Raises:
        ModelError: its file is missing or damaged.
    """
    record = None if again else model.measurement(settings)
    if record is None or not record.complete or record.best is None:
        record = _with_progress(model, settings)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)  # a log does not wrap its lines
    if record.kinds:
        console.print(table(model.name, record, settings.candidates))
    for remark in record.remarks:
        console.print(remark, markup=False, soft_wrap=True)
    return record.best is not None


def table(name: str, record: Measurement, candidates: int) -> Table:
    """Tabulate what was measured of a model."""
    shown = Table(
        title=f"{name} on this CPU (→ served; auto chooses models with at most {LIMIT_S:g} s for a line)",
        title_justify="left",
    )
    columns = ("kind", "MB", "prefill tok/s", "ms/step K=1", "ms/step K=8", "perplexity", "ratio", "line, s")
    for column in columns:
        shown.add_column(column, justify="left" if column == "kind" else "right")
    reference = record.kinds[0].trial.perplexity
    for measured in record.kinds:
        trial = measured.trial
        shown.add_row(
            f"{'→' if measured.kind == record.chosen else ' '} {measured.kind}",
            f"{measured.n_bytes / 1e6:,.0f}",
            f"{trial.prefill_per_s:,.0f}",
            f"{trial.step_ms:.1f}",
            f"{trial.step_8_ms:.1f}",
            "" if trial.perplexity is None else f"{trial.perplexity:.3f}",
            "" if trial.perplexity is None or reference is None else f"{trial.perplexity / reference:.3f}",
            f"{measured.line_s(candidates):.2f}",
        )
    return shown


def _with_progress(model: ModelHere, settings: Settings) -> Measurement:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Measuring {model.name}", total=1.0)
        said = ""

        def report(what: str, share: float) -> None:
            nonlocal said
            bar.update(task, description=what, completed=share)
            if bar.disable and what != said:  # a log gets one line per step
                click.echo(what, err=True)
            said = what

        return measure(
            model.path, settings.cache_dir, name=model.name, n_threads=settings.threads, progress=report
        )
