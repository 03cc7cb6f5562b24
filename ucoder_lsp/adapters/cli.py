"""The command `ucoder adapters`.

It lists the published adapters, and chooses the one that is served.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import platformdirs

from ucoder_lsp.adapters.errors import WAY_OUT, AdapterError
from ucoder_lsp.adapters.registry import AdapterRegistry, bases


@click.group("adapters")
@click.option(
    "--data-dir",
    envvar="UCODER_DATA_DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Path(platformdirs.user_data_dir("ucoder", appauthor=False)),
    show_default="the user's data directory",
    help="Folder for adapters and training runs.",
)
@click.option(
    "--base",
    "base",
    metavar="SHA256",
    help="Base model of the adapters, by the start of its hash; required when several have adapters.",
)
@click.pass_context
def adapters(context: click.Context, data_dir: Path, base: str | None) -> None:
    """List the trained adapters and choose the one to serve.

    An adapter is what `ucoder train run` learned: small weights that change a base model. A running server
    follows a change from its next completion on.
    """
    context.obj = lambda: _registry(data_dir / "adapters", base)


def _registry(root: Path, base: str | None) -> AdapterRegistry:
    """Return the registry of the selected base model."""
    known = bases(root) if root.is_dir() else []
    # A base that is known by its first digits alone also matches the whole hash.
    matching = [
        sha256 for sha256 in known if base is None or sha256[: len(base)] == base.lower()[: len(sha256)]
    ]
    if not matching:
        what = f"for a base model that starts with {base}" if base and known else f"in {root}"
        raise AdapterError(f"There are no adapters {what}: `ucoder train run` makes and publishes one.")
    if len(matching) > 1:
        names = ", ".join(sha256[:12] for sha256 in matching)
        raise AdapterError(f"There are adapters for several base models: choose one with --base ({names}).")
    return AdapterRegistry(root, matching[0])


def _reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Show an AdapterError as one sentence instead of a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except AdapterError as error:
            raise click.ClickException(str(error)) from error

    return run


@adapters.command("list")
@click.pass_obj
@_reports_errors
def list_(registry: Callable[[], AdapterRegistry]) -> None:
    """List every version, oldest first.

    A star marks the version that is served.
    """
    found = registry()
    try:
        wanted, complaint = found.wanted(), ""
    except AdapterError as error:
        wanted, complaint = None, str(error)
    click.echo(
        f"Base model {found.base_sha256[:12]}{'' if wanted or complaint else ' (served without an adapter)'}"
    )
    names = found.names()
    for name in names:
        click.echo(f"{'*' if name == wanted else ' '} {name}  {_origin(found, name, check=name == wanted)}")
    if wanted is not None and wanted not in names:
        click.echo(f"* {wanted}  is missing: {WAY_OUT}")
    if complaint:
        click.echo(complaint)


@adapters.command()
@click.argument("version")
@click.pass_obj
@_reports_errors
def use(registry: Callable[[], AdapterRegistry], version: str) -> None:
    """Serve VERSION from now on; `base` means the base model alone."""
    registry().use(None if version == "base" else version)
    click.echo(f"Serving {'the base model alone' if version == 'base' else version}.")


@adapters.command()
@click.pass_obj
@_reports_errors
def rollback(registry: Callable[[], AdapterRegistry]) -> None:
    """Serve the version that was served before."""
    back = registry().rollback()
    click.echo(f"Serving {back or 'the base model alone'} again.")


@adapters.command()
@click.pass_obj
@_reports_errors
def verify(registry: Callable[[], AdapterRegistry]) -> None:
    """Compare every file of every version with its published hash."""
    found = registry()
    damaged = False
    for name in found.names():
        try:
            found.get(name).verify()
            click.echo(f"{name}: intact")
        except AdapterError as error:
            damaged = True
            click.echo(f"{name}: {error}")
    if damaged:
        raise SystemExit(1)


def _origin(registry: AdapterRegistry, name: str, check: bool) -> str:
    """Describe the origin of a version, or why it cannot be served.

    `check` verifies its files too.
    """
    try:
        version = registry.get(name)
        if check:
            version.verify()
    except AdapterError as error:
        return str(error)
    manifest = version.manifest
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(manifest.metrics.items()))
    parents = f"  from {', '.join(manifest.parents)}" if manifest.parents else ""
    return f"{manifest.created}  run {manifest.training_run}{parents}  {metrics}"
