"""Provide `ucoder consensus`: replay recorded samples, refit the default rule."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sandbox.consensus.replay import RecordingError, ReplayedTask, load
from sandbox.consensus.replay import replay as run_tasks
from sandbox.errors import SandboxError


@click.group()
def consensus() -> None:
    """Choose among candidates by their behaviour."""


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@consensus.command()
@click.argument("file", type=FILE)
@click.option(
    "--plot", "plot_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG here."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--samples", type=click.IntRange(min=1), help="Draw N candidates per task (default: all).")
@click.option("--rule", "names", multiple=True, help="Only these rules (repeat the option for several).")
@click.option("--seed", default=0, show_default=True, help="Seed of inputs and draws.")
def replay(
    file: Path, plot_path: Path | None, as_json: bool, samples: int | None, names: tuple[str, ...], seed: int
) -> None:
    """Compare all rules on the recorded samples in FILE.

    Prints how often each rule chooses a right candidate. The programs run in the sandbox; the official tests are
    used for scoring only.
    """
    from sandbox.consensus.evaluation import bootstrap_difference, evaluate, plot
    from sandbox.consensus.rules import DEFAULT_RULE, RULES

    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise click.ClickException(f"There is no rule {unknown[0]!r}. The rules are: {', '.join(RULES)}.")
    rules = {name: RULES[name] for name in names or RULES}
    tasks = _replayed(file, seed)
    results = evaluate(tasks, rules, samples, seed)
    if not results[0].n_tasks:
        raise click.ClickException(
            f"{file.name} has no official test (field 'check'), so nothing can be scored."
        )
    if as_json:
        click.echo(json.dumps({"default": DEFAULT_RULE, "rules": [result.as_dict() for result in results]}))
    else:
        click.echo(f"{'rule':20} {'pass@1':>7} {'p@25':>7} {'p@50':>7} {'coverage':>9} {'ECE':>6}")
        for result in results:
            row = result.as_dict()
            shares = [
                100 * float(str(row[key]))
                for key in ("pass_at_1", "precision_25", "precision_50", "coverage")
            ]
            click.echo(
                f"{result.rule:20} {shares[0]:7.1f} {shares[1]:7.1f} {shares[2]:7.1f} {shares[3]:9.1f} {row['ece']:>6}"
            )
        by_name = {result.rule: result for result in results}
        if {DEFAULT_RULE, "b4"} <= set(by_name):
            mean, low, high = bootstrap_difference(by_name[DEFAULT_RULE], by_name["b4"])
            click.echo(
                f"\n{DEFAULT_RULE} minus b4: {100 * mean:+.1f} points "
                f"(95 % bootstrap interval {100 * low:+.1f} to {100 * high:+.1f}, {results[0].n_tasks} tasks)"
            )
    if plot_path is not None:
        main = DEFAULT_RULE if DEFAULT_RULE in rules else results[0].rule
        try:
            plot(results, main, plot_path)
        except ImportError as error:
            raise click.ClickException("--plot needs matplotlib. Run: pip install matplotlib") from error


@consensus.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Parameters to write."
)
@click.option(
    "--observed", multiple=True, type=FILE, help="Elections of a served model (repeat for several files)."
)
@click.option("--seed", default=0, show_default=True, help="Seed of inputs and draws.")
def fit(files: tuple[Path, ...], out: Path, observed: tuple[Path, ...], seed: int) -> None:
    """Fit the default rule on recorded samples and on elections.

    FILES hold recorded samples, as `ucoder consensus replay` takes them. `benchmarks/confidence.py` writes elections.
    The result is the rule's weights and its calibration. The shipped parameters are
    `sandbox/consensus/rules/fitted.json`.
    """
    from sandbox.consensus.calibration import read_rows
    from sandbox.consensus.evaluation import learn

    try:
        rows = [row for path in observed for row in read_rows(path)]
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{error}: give a file that benchmarks/confidence.py wrote.") from error
    tasks = [task for file in files for task in _replayed(file, seed)]
    if not rows and not tasks:
        raise click.UsageError("There is nothing to fit on: give recorded FILES, or --observed.")
    out.write_text(learn(tasks, seed, rows).to_json(), encoding="utf-8")
    click.echo(f"Wrote {out}.")


def _replayed(file: Path, seed: int) -> list[ReplayedTask]:
    from rich.console import Console
    from rich.progress import Progress

    from sandbox.pool import Sandbox

    try:
        tasks = load(file)
        with Sandbox(lowest_tier=1) as sandbox, Progress(console=Console(stderr=True)) as bar:
            running = bar.add_task("running candidates", total=len(tasks))
            found = []
            for task in run_tasks(tasks, sandbox, seed=seed):
                found.append(task)
                bar.advance(running)
            return found
    except (RecordingError, SandboxError) as error:
        raise click.ClickException(str(error)) from error
