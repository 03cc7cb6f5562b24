"""The trainer's error classes.

Every message is one sentence that names the next step.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITE_FAILED = ("os error", "inline_container", "No space left")
"""Marks in the messages of safetensors and torch, which raise no OSError for a failed write."""
MEMORY_FULL = ("can't allocate memory", "out of memory")
EXTRA = (
    "This command trains a model and needs the train extra; in a clone of UCoder run: pip install '.[train]'"
)


class TrainerError(Exception):
    """An error that the user can mend, as its message explains.

    Commands print it and exit with status 2.
    """


class MissingExtraError(TrainerError):
    """Raised where torch, transformers, peft, trl or gguf is not installed."""

    def __init__(self) -> None:
        super().__init__(EXTRA)


class ExportError(TrainerError):
    """Raised for an adapter, or adapter settings, that llama.cpp could not serve."""


class BaseModelError(TrainerError):
    """Raised for a base model that cannot be read, trained or served."""


class StoreError(TrainerError):
    """Raised for a run folder that cannot be read or written."""


class BenchmarkError(TrainerError):
    """Raised for a benchmark file that is missing or has another format."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failed write under `path` into a `StoreError` with a way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"No space left for {path}: free some, then run the same command again to resume."
            ) from error
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}; choose a folder you may write to."
        ) from error


@contextmanager
def library_errors(folder: Path) -> Iterator[None]:
    """Turn a library's error about a full disk or memory into a `TrainerError`.

    Other errors are defects and pass.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if any(mark in text for mark in WRITE_FAILED):
            raise StoreError(
                f"Cannot write to {folder} ({text.splitlines()[0][:120]}): free some space, then run the same "
                "command again to continue."
            ) from error
        if isinstance(error, MemoryError) or any(mark in text for mark in MEMORY_FULL):
            raise BaseModelError(
                "This needs more memory than there is: use --qlora, or a smaller base."
            ) from error
        raise
