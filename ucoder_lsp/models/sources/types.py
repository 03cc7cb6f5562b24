"""What a source is, and how it reports its progress."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ucoder_lsp.models.catalogue import CatalogueEntry


class Meter(Protocol):
    """Shows how much of a file has arrived."""

    def start(self, what: str, total: int) -> None:
        """Begin one step of `total` bytes; the step before it, if any, ends."""

    def at(self, done: int) -> None:
        """Report that `done` bytes of the current step are here."""


class Source(Protocol):
    """A place that may have the file of an entry."""

    @property
    def title(self) -> str:
        """Its name for users, such as "the Hugging Face hub"."""

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        """Return a part file in `folder` with the whole content, not verified yet.

        A part that an earlier try left in `folder` is continued.

        Raises:
            SourceError: this source cannot deliver it; another one may.
            OSError: the disk is full or cannot be written.
        """


@dataclass(frozen=True, slots=True)
class NoMeter:
    """A meter that shows nothing."""

    def start(self, what: str, total: int) -> None:
        pass

    def at(self, done: int) -> None:
        pass
