"""The commands `ucoder serve` (start the language server) and `ucoder settings` (show its settings)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from typing import Any

import click

from ucoder_lsp.config import Settings, config_path, load


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one flag per setting, so that `--help` always matches the configuration."""
    for field in reversed(fields(Settings)):
        flag = "--" + field.name.replace("_", "-")
        command = click.option(flag, field.name, default=None, help=field.metadata["help"], metavar="VALUE")(
            command
        )
    return command


def given(flags: dict[str, object]) -> dict[str, object]:
    """Return only the flags that are on the command line."""
    return {name: value for name, value in flags.items() if value is not None}


@click.command()
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least severe messages that go to standard error.",
)
@settings_options
def serve(log_level: str, **flags: object) -> None:
    """Start the language server on standard input and output.

    Your editor starts this command. Settings come from the configuration file, then UCODER_* variables, then
    the flags below, then the editor's own settings; later ones override earlier ones. `ucoder settings` shows
    the result.
    """
    from ucoder_lsp.server.server import create

    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    settings, problems = load(given(flags))
    create(settings, problems, version("ucoder")).start_io()


@click.command()
@settings_options
def settings(**flags: object) -> None:
    """Show every setting, its current value, and its meaning."""
    import os

    current, problems = load(given(flags))
    click.echo(f"Configuration file: {config_path(os.environ)}")
    for field in fields(Settings):
        click.echo(f"{field.name:15} = {getattr(current, field.name)!s:40} {field.metadata['help']}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(2)
