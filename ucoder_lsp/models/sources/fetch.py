"""The way of a model file into the store: sources in order, verified, then renamed.

Two processes that fetch the same model take turns, and the second finds the file of the first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ucoder_lsp.files import file_sha256, remove, sync_file, sync_folder
from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import ModelError, SourceError
from ucoder_lsp.models.sources.hub import HubSource
from ucoder_lsp.models.sources.index import IndexSource
from ucoder_lsp.models.sources.local import LocalSource
from ucoder_lsp.models.sources.space import FULL
from ucoder_lsp.models.sources.types import Meter, Source
from ucoder_lsp.models.sources.url import UrlSource
from ucoder_lsp.models.store import (
    exclusive,
    is_verified,
    models_dir,
    path_of,
    record_verified,
    unfinished_dir,
)

Say = Callable[[str], None]
"""Called with one sentence for the user about what goes on."""


def sources(given: str, mirror: str) -> list[Source]:
    """Return where to look, in order.

    Args:
        given: a file, folder or URL for this one time; nothing else is then tried. Empty for none.
        mirror: the user's own URL or folder, tried first; empty for none.
    """
    if given:
        return [_place(given)]
    return [*([_place(mirror)] if mirror else []), HubSource(), IndexSource()]


def _place(text: str) -> Source:
    if text.startswith(("http://", "https://")):
        return UrlSource(text)
    return LocalSource(Path(text.removeprefix("file://")).expanduser())


def fetch(entry: CatalogueEntry, data_dir: Path, places: Sequence[Source], meter: Meter, say: Say) -> Path:
    """Return the verified file of an entry; get it from the first source that has it.

    Args:
        places: from `sources`.

    Raises:
        ModelError: no source delivers it, or the disk is full; one sentence with the remedy.
    """
    target = path_of(entry, data_dir)
    if entry.carried:
        return target

    def wait() -> None:
        say(f"Another process fetches {entry.name}; waiting for it.")

    try:
        with exclusive(entry, data_dir, wait):
            if not _is_here(entry, target, meter):
                source = _first_that_delivers(
                    entry, target, unfinished_dir(entry, data_dir), places, meter, say
                )
                record_verified(target, entry.sha256, source)
            remove(unfinished_dir(entry, data_dir))
    except OSError as error:
        raise ModelError(_disk_problem(entry, models_dir(data_dir), error)) from error
    return target


def _is_here(entry: CatalogueEntry, target: Path, meter: Meter) -> bool:
    """Return whether the published file is in its place, hashing it if it has no record."""
    if not target.is_file() or target.stat().st_size != entry.bytes:
        return False
    if not is_verified(entry, target):
        meter.start(f"Verifying {entry.name}", entry.bytes)
        if file_sha256(target) != entry.sha256:
            return False
        record_verified(target, entry.sha256, "a file that was here")
    return True


def _first_that_delivers(
    entry: CatalogueEntry, target: Path, folder: Path, places: Sequence[Source], meter: Meter, say: Say
) -> str:
    """Put the file into its place; return the title of its source."""
    folder.mkdir(exist_ok=True)
    failures = []
    for place in places:
        try:
            part = place.deliver(entry, folder, meter)
            _accept(entry, part, meter)
        except SourceError as error:
            failures.append(f"{place.title}: {error}")
            if place is not places[-1]:
                say(f"Not from {place.title}: {error}.")
            continue
        sync_file(part)
        os.replace(part, target)
        sync_folder(target.parent)
        return place.title
    raise ModelError(
        f"The model {entry.name} could not be fetched ({'; '.join(failures)}): copy the file {entry.file} to this "
        f"machine and run `ucoder models get {entry.name} --from FILE`."
    )


def _accept(entry: CatalogueEntry, part: Path, meter: Meter) -> None:
    """Compare a part with the published file.

    Raises:
        SourceError: it differs; it is removed.
    """
    size = part.stat().st_size
    if size == entry.bytes:
        meter.start(f"Verifying {entry.name}", entry.bytes)
        sha256 = file_sha256(part)
        if sha256 == entry.sha256:
            return
        problem = f"has the SHA-256 {sha256[:12]}, not {entry.sha256[:12]}"
    else:
        problem = f"has {size:,} bytes, not {entry.bytes:,}"
    part.unlink()
    raise SourceError(f"what came is not the published file (it {problem}) and was removed")


def _disk_problem(entry: CatalogueEntry, folder: Path, error: OSError) -> str:
    if error.errno in FULL:
        return (
            f"There is not enough space in {folder} for {entry.name} ({entry.bytes // 10**6 + 1} MB): free some and "
            "run the command again, which goes on where it stopped, or choose another folder with the setting "
            "'data_dir'."
        )
    way_out = (
        "make that folder writable" if error.errno in (errno.EACCES, errno.EROFS) else "check that folder"
    )
    return (
        f"Cannot write {entry.name} to {folder} ({error.strerror or error}): {way_out}, or choose another one with "
        "the setting 'data_dir'."
    )
