"""Files that appear complete or not at all: written aside, synced to the disk, renamed into place."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file: readers see the old text or the new, even after a power cut."""
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
    """Wait until a folder's entries (creations, renames) are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    for each in (path, *path.rglob("*")):
        if each.is_dir():
            sync_folder(each)
        else:
            sync_file(each)


def remove(path: Path) -> None:
    """Remove a file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def aside_of(path: Path) -> Path:
    """Where this thread writes before it renames to `path`: hidden, in the same folder, with its process's id."""
    return path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.part")


def remove_abandoned(folder: Path) -> None:
    """Remove what `aside_of` named in this folder for processes that are gone, files and folders."""
    for path in folder.glob(".*.part"):
        if not _is_alive(path.name.split(".")[-2]):
            remove(path)


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return True  # not a name of ours: leave it alone
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
