"""What `ucoder models list` shows: the catalogue, the user's own files, and what is in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ucoder_lsp.config import EMBEDDED
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.models.catalogue import CARRIED, CatalogueEntry
from ucoder_lsp.models.choose import LIMIT_S
from ucoder_lsp.models.measurements import read_measurement
from ucoder_lsp.models.store import installed, models_dir, own_files


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of the list."""

    name: str
    """Of the catalogue, or the file name of the user's own file in the store."""
    bytes: int
    licence: str
    """Empty for the user's own file."""
    here: str
    """`yes`, `no`, or `not verified`: a file is here whose content was not compared with the published hash."""
    in_use: bool
    """Whether the setting 'model' names it."""
    speed: str
    """As measured on this machine, or `not measured`."""
    in_time: str
    """Whether it answers in time on this machine, or `not measured`."""
    path: Path | None
    """None where it is not here."""


def rows(
    entries: Mapping[str, CatalogueEntry], data_dir: Path, cache_dir: Path, model: str
) -> list[ModelRow]:
    """Return every model that is known or here, catalogue first.

    Args:
        model: the value of the setting.
    """
    here = installed(entries, data_dir)
    found = []
    for name, entry in entries.items():
        path = here.get(name)
        state = "yes"
        if path is None:
            path = models_dir(data_dir) / entry.file
            state = "no" if entry.carried or not path.is_file() else "not verified"
        speed, in_time = measured(entry.sha256, cache_dir)
        found.append(
            ModelRow(
                name=name,
                bytes=entry.bytes,
                licence=entry.licence,
                here=state,
                in_use=_names(model, name, path),
                speed=speed,
                in_time=in_time,
                path=None if state == "no" else path,
            )
        )
    for path in own_files(entries, data_dir):
        found.append(
            ModelRow(
                name=path.name,
                bytes=path.stat().st_size,
                licence="",
                here="yes",
                in_use=_names(model, path.name, path),
                speed=NOT_MEASURED,
                in_time=NOT_MEASURED,
                path=path,
            )
        )
    return found


NOT_MEASURED = "not measured"


def measured(sha256: str, cache_dir: Path) -> tuple[str, str]:
    """Return the time of a line on this machine, and whether it is in time, as text.

    The measurements are of `ucoder models measure`.
    """
    record = read_measurement(sha256, cache_dir, default_threads())
    if record is None:
        return NOT_MEASURED, NOT_MEASURED
    if record.best is None:
        return "does not run", "no"
    line_s = record.best.line_s()
    return f"{line_s:.1f} s a line", "yes" if line_s <= LIMIT_S else "no"


def _names(model: str, name: str, path: Path) -> bool:
    """Return whether the setting's value names this model."""
    if name == CARRIED and model == EMBEDDED:
        return True
    return model == name or Path(model).expanduser() == path


def table(models: Sequence[ModelRow]) -> Table:
    """Return the list for a terminal; a star marks what is in use."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("")
    shown.add_column("name", no_wrap=True)
    shown.add_column("size", justify="right", no_wrap=True)
    for title in ("licence", "here", "speed", "in time here"):
        shown.add_column(title)
    for row in models:
        size = f"{row.bytes / 10**6:,.0f} MB"
        star = "*" if row.in_use else ""
        shown.add_row(star, row.name, size, row.licence, row.here, row.speed, row.in_time)
    return shown
