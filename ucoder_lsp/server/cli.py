"""The commands `ucoder serve` and `ucoder settings`."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
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
    help="Lowest level of the messages that are logged to standard error.",
)
@settings_options
def serve(log_level: str, **flags: object) -> None:
    """Start the language server on standard input and output.

    Your editor starts this command. Settings come from the configuration file, then environment variables
    (such as UCODER_CANDIDATES), then the flags below, then the editor. Later ones override earlier ones.

    `ucoder settings` shows the current values, without those of the editor.
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
    """Show every setting, its current value, and its meaning.

    The lines are in the format of the configuration file, so they can be copied into it.
    """
    from ucoder_lsp.models.served import described

    current, problems = load(given(flags))
    path = config_path(os.environ)
    click.echo(f"# Configuration file: {path}{'' if path.exists() else ' (does not exist yet)'}")
    for field in fields(Settings):
        click.echo(f"{field.name:15} = {_toml(getattr(current, field.name)):40} # {field.metadata['help']}")
    click.echo(f"# model is {described(current)}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(2)


def _toml(value: object) -> str:
    """Return a setting's value as TOML."""
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)  # a JSON string is also a TOML string
    return str(value).lower()
