"""What the commands below `ucoder models` share."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ucoder_lsp.config import Settings, config_path, load
from ucoder_lsp.models.catalogue import CatalogueEntry, load_catalogue
from ucoder_lsp.models.errors import ModelError


@dataclass(frozen=True, slots=True)
class Shelf:
    """What every command below `ucoder models` works on."""

    settings: Settings
    config: Path
    entries: dict[str, CatalogueEntry]

    @property
    def data_dir(self) -> Path:
        """Folder of the store."""
        return self.settings.data_dir

    def entry(self, name: str) -> CatalogueEntry:
        """Return an entry of the catalogue.

        Raises:
            ModelError: there is none of this name.
        """
        if name in self.entries:
            return self.entries[name]
        close = difflib.get_close_matches(name, self.entries, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the names are {', '.join(self.entries)}."
        raise ModelError(f"The catalogue has no model {name!r}: {hint}")


def open_shelf(flags: Mapping[str, object]) -> tuple[Shelf, list[str]]:
    """Return the shelf of this user, and one sentence per problem with its files.

    Args:
        flags: the settings that are on the command line.
    """
    settings, problems = load(flags)
    config = config_path(os.environ)
    entries, wrong = load_catalogue(config.parent)
    return Shelf(settings, config, entries), [*problems, *wrong]


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Show a ModelError as one sentence instead of a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ModelError as error:
            raise click.ClickException(str(error)) from error

    return run
