"""A file or a folder that the user gives: a download by hand, a USB stick, a network share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources.space import FULL, check_room
from ucoder_lsp.models.sources.types import Meter

CHUNK = 4 * 2**20


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A GGUF file, or a folder that holds it under its published name.

    The file is copied, so that a later change of the user's own copy changes nothing here.
    """

    path: Path

    @property
    def title(self) -> str:
        return str(self.path)

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        """Copy the file; see `Source`."""
        source = self.path / entry.file if self.path.is_dir() else self.path
        try:
            size = source.stat().st_size
        except OSError as error:
            raise SourceError(f"{source} cannot be read ({error.strerror})") from error
        if not source.is_file() or size != entry.bytes:
            raise SourceError(f"{source} has {size:,} bytes, the published file {entry.bytes:,}")
        part = folder / "copy.part"
        part.unlink(missing_ok=True)
        check_room(folder, size)
        meter.start(f"Copying {entry.name}", size)
        try:
            with source.open("rb") as reader, part.open("wb") as writer:
                while chunk := reader.read(CHUNK):
                    writer.write(chunk)
                    meter.at(writer.tell())
        except OSError as error:
            part.unlink(missing_ok=True)  # a copy begins again, so half of it only takes space
            if error.errno in FULL:
                raise
            raise SourceError(f"{source} cannot be copied ({error.strerror})") from error
        return part
