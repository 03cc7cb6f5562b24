"""Atomic files: they appear complete or not at all.

A file is written aside, synced to the disk, then renamed. JSON files hold one dataclass each and are checked field by
field when they are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any, TypeVar

import cattrs

T = TypeVar("T")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, kind: type[T]) -> T:
    """Read a dataclass from a JSON file; unknown fields are ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON, or it does not describe `kind`.
    """
    return from_json(json.loads(path.read_text("utf-8")), kind)


def from_json(value: Any, kind: type[T]) -> T:
    """Build a dataclass from decoded JSON.

    Raises:
        ValueError: a field is missing or of another type.
    """
    try:
        return _JSON.structure(value, kind)
    except KeyError as error:
        raise ValueError(f"the field {error} is missing") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def to_json(value: object) -> str:
    """Return a dataclass as JSON text."""
    return json.dumps(_JSON.unstructure(value), indent=1)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file atomically.

    Readers see the old text or the new one, even after a power cut.
    """
    aside = aside_of(path)
    try:
        aside.write_text(text, "utf-8")
        sync_file(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's creations and renames are on the disk.

    Does nothing on Windows.
    """
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Wait until a file or a whole folder is on the disk."""
    for each in (path, *path.rglob("*")):
        if each.is_dir():
            sync_folder(each)
        else:
            sync_file(each)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def aside_of(path: Path) -> Path:
    """Return the hidden path that is written first and renamed to `path`.

    It is in the same folder. Its name holds the thread and the process, so that writers never share one and
    `remove_abandoned` finds those of ended processes.
    """
    return path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.part")


def remove_abandoned(folder: Path) -> None:
    """Remove the files and folders that ended processes left under `aside_of` names."""
    for path in folder.glob(".*.part"):
        if not _is_alive(path.name.split(".")[-2]):
            remove(path)


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return True  # the name does not come from `aside_of`: leave the file alone
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _text(value: object, _kind: type[str]) -> str:
    if not isinstance(value, str):  # cattrs would convert anything
        raise ValueError(f"{value!r} is not text")
    return value


_JSON = cattrs.Converter(detailed_validation=False)  # one plain exception instead of a group
_JSON.register_structure_hook(str, _text)
