"""`ucoder serve`: start the language server; `ucoder settings`: show what it would run with."""

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
    """One flag for each setting, so that the help and the configuration cannot drift apart."""
    for field in reversed(fields(Settings)):
        flag = "--" + field.name.replace("_", "-")
        command = click.option(flag, field.name, default=None, help=field.metadata["help"], metavar="VALUE")(
            command
        )
    return command


def given(flags: dict[str, object]) -> dict[str, object]:
    """Only the flags that were really given."""
    return {name: value for name, value in flags.items() if value is not None}


@click.command()
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="what goes to standard error",
)
@settings_options
def serve(log_level: str, **flags: object) -> None:
    """Start the language server on standard input and output.

    Your editor runs this. Settings come from the configuration file, then UCODER_* variables, then the flags
    below, then the editor's own; `ucoder settings` shows the result.
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
    """Show every setting, its value here, and what it means."""
    import os

    current, problems = load(given(flags))
    click.echo(f"Configuration file: {config_path(os.environ)}")
    for field in fields(Settings):
        click.echo(f"{field.name:15} = {getattr(current, field.name)!s:40} {field.metadata['help']}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(2)
