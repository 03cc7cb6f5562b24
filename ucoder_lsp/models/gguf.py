"""GGUF files on the disk: checked, hashed and requantized.

A requantized file is in the cache directory and appears complete or not at all (written aside, synced, renamed). Its
name holds the source's SHA-256 and the kind, and a JSON file beside it holds its own hash. Nothing here loads a model.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ucoder_lsp.files import (
    aside_of,
    file_sha256,
    read_json,
    remove_abandoned,
    sync_file,
    to_json,
    write_atomically,
)
from ucoder_lsp.models.errors import ModelError

Progress = Callable[[str, float], None]
"""Called with the name of the current step and the share done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class _Requantized:
    """The record beside a requantized file."""

    sha256: str
    size: int
    source_sha256: str
    kind: str


def check_gguf(path: Path) -> None:
    """Reject a wrong path before llama.cpp opens it.

    Raises:
        ModelError: the file is missing, unreadable, or not a GGUF file.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(
            f"There is no model file at {path}: set 'model' to a GGUF file that exists, or remove the "
            "setting to use the embedded model."
        ) from None
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read ({error.strerror}): set 'model' to a readable GGUF file."
        ) from error
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file (it starts with {magic!r}): set 'model' to a model in llama.cpp's "
            "GGUF format."
        )


def remembered_sha256(path: Path, cache_dir: Path) -> str:
    """Return the SHA-256 of a file, remembered by path, size and times.

    A file of gigabytes is hashed once, not at every start.
    """
    stat = path.stat()
    state = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    record = cache_dir / "hashes" / (hashlib.sha256(json.dumps(state).encode()).hexdigest()[:24] + ".txt")
    try:
        known = record.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        known = ""
    if len(known) == 64:
        return known
    sha256 = file_sha256(path)
    with suppress(OSError):  # without this record the next start hashes again
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, sha256)
    return sha256


def requantized(source: Path, sha256: str, kind: str, cache_dir: Path, progress: Progress | None) -> Path:
    """Return the requantized file; make it when it is missing or damaged.

    Args:
        sha256: of the source.
        kind: a key of `engine.quantize.FILE_TYPES`.

    Raises:
        ModelError: the source is damaged, or the cache cannot hold the file.
    """
    target = _requantized_path(source, sha256, kind, cache_dir)
    folder, record = target.parent, target.with_suffix(".json")
    if _is_intact(target, record, cache_dir):
        return target
    # Imported here because it loads llama.cpp, which a command-line call does not need.
    from ucoder_lsp.engine.errors import EngineError
    from ucoder_lsp.engine.quantize import quantize

    aside = aside_of(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        if missing_bytes(source, cache_dir):
            raise OSError(errno.ENOSPC, f"it needs {2 * source.stat().st_size // 2**20 + 1} MiB")
        quantize(
            source,
            aside,
            kind,
            partial(progress, f"Preparing {source.name} for this CPU") if progress else None,
        )
        check_gguf(aside)
        sync_file(aside)
        made = _Requantized(file_sha256(aside), aside.stat().st_size, sha256, kind)
        os.replace(aside, target)
        write_atomically(record, to_json(made))
    except EngineError as error:
        raise ModelError(
            f"Cannot prepare the model in {folder}: {error} Free some space there, or choose another folder "
            "with the setting 'cache_dir'."
        ) from error
    except OSError as error:
        raise ModelError(
            f"Cannot write the prepared model to {folder} ({error.strerror or error}): free some space "
            "there, or choose another folder with the setting 'cache_dir'."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return target


def remove_requantized(source: Path, sha256: str, kind: str, cache_dir: Path) -> None:
    """Remove a requantized file and its record; a server that has it open keeps it."""
    target = _requantized_path(source, sha256, kind, cache_dir)
    target.with_suffix(".json").unlink(missing_ok=True)
    target.unlink(missing_ok=True)


def missing_bytes(source: Path, cache_dir: Path) -> int:
    """Return how much space is missing to requantize a file; 0 when there is enough.

    A requantized file is at most twice as large as its source of 4 bits or more.
    """
    folder = cache_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return max(0, 2 * source.stat().st_size - shutil.disk_usage(folder).free)


def _requantized_path(source: Path, sha256: str, kind: str, cache_dir: Path) -> Path:
    return cache_dir / "models" / f"{source.stem}-{sha256[:12]}-{kind}.gguf"


def _is_intact(target: Path, record: Path, cache_dir: Path) -> bool:
    """Return whether the requantized file is what was written."""
    try:
        made = read_json(record, _Requantized)
        return target.stat().st_size == made.size and remembered_sha256(target, cache_dir) == made.sha256
    except (OSError, ValueError):
        return False  # missing or damaged
