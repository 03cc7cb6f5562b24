"""The registry of adapters: published versions and the served one.

    ROOT/<first 16 hex digits of the base model's SHA-256>/
        current.json                    what is served, and what was served before
        0003-1f0c5d2a/                  one version, never changed after it appeared
            adapter.gguf                what llama.cpp loads
            peft/                       the weights as PEFT wrote them (optional)
            manifest.json               origin, metrics, SHA-256 of every file (see `manifest`)

The trainer publishes through this module, the server reads through it, and `ucoder adapters` shows it.
A version is written aside, synced and renamed, and only then named in `current.json`, which is replaced
atomically. A reader sees a complete version or none, even when a process is killed or the disk fills up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.manifest import (
    ADAPTER_FILE,
    MANIFEST_FILE,
    AdapterVersion,
    Manifest,
    read_manifest,
    write_manifest,
)
from ucoder_lsp.files import (
    aside_of,
    file_sha256,
    read_json,
    remove_abandoned,
    sync_file,
    sync_folder,
    to_json,
    write_atomically,
)

CURRENT_FILE = "current.json"


@dataclass(frozen=True, slots=True)
class _Current:
    """The content of current.json."""

    current: str | None
    """The version that is served; None is the base model alone."""
    previous: tuple[str | None, ...]
    """What was served before, oldest first."""
    events: tuple[dict[str, str], ...]
    """Every change with its time: publish, use, rollback. It is a log for users.

    The file grows with each change. So `current` detects even a second change within one tick of the file system's
    clock, by the size."""


class AdapterRegistry:
    """The adapters of one base model.

    Safe to use from several processes at once.
    """

    def __init__(self, root: Path, base_sha256: str) -> None:
        """Refer to a registry; nothing is read or created yet.

        Args:
            root: the registry's folder, for all base models.
            base_sha256: of the base model's source file, 64 hexadecimal digits.
        """
        self.root = root
        self.base_sha256 = base_sha256
        self.folder = root / base_sha256[:16]
        self._seen: tuple[tuple[int, int, int], AdapterVersion | None, str] | None = None
        """For current.json: its inode, time and size; what to serve; or why that cannot be served."""

    # Reading.

    def names(self) -> list[str]:
        """Return the names of all published versions, damaged ones included, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith("."))

    def versions(self) -> list[AdapterVersion]:
        """Return the published versions, oldest first, without damaged ones."""
        found = []
        for name in self.names():
            with suppress(AdapterError):
                found.append(self.get(name))
        return found

    def get(self, version: str) -> AdapterVersion:
        """Return one version by name.

        Raises:
            AdapterError: it does not exist, its manifest is damaged, or it was made for another base model.
        """
        folder = self.folder / version
        if not version or version != Path(version).name or version[0] == "." or not folder.is_dir():
            raise AdapterError(
                f"There is no adapter {version!r}: `ucoder adapters list` shows the published ones."
            )
        manifest = read_manifest(folder)
        if manifest.base_sha256 != self.base_sha256:
            raise AdapterError(
                f"Adapter {version} was made for another base model ({manifest.base_name}, "
                f"{manifest.base_sha256[:12]}; served is {self.base_sha256[:12]}): train one for this model."
            )
        return AdapterVersion(folder, manifest)

    def current(self) -> AdapterVersion | None:
        """Return the version to serve; None is the base model alone.

        Costs one stat while nothing changes. The files of a version are compared with its manifest once, when it
        becomes current.

        Raises:
            AdapterError: the version is damaged or missing; raised again until another one is chosen.
        """
        try:
            stat = (self.folder / CURRENT_FILE).stat()
        except FileNotFoundError:
            return None
        mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if self._seen is None or self._seen[0] != mark:
            try:
                name = self.wanted()
                self._seen = (mark, None if name is None else self._intact(name), "")
            except AdapterError as error:
                self._seen = (mark, None, str(error))
        _, version, problem = self._seen
        if problem:
            raise AdapterError(problem)
        return version

    def wanted(self) -> str | None:
        """Return the name of the version to serve, which may be damaged.

        None is the base model alone.

        Raises:
            AdapterError: current.json is damaged.
        """
        return self._read_current().current

    # Changing.

    def publish(
        self,
        adapter: Path,
        *,
        base_name: str,
        training_run: str,
        metrics: Mapping[str, float],
        parents: Sequence[str] = (),
        peft: Path | None = None,
        activate: bool = True,
    ) -> AdapterVersion:
        """Publish an adapter as a new version, and serve it.

        Its files are copied into the registry.

        Args:
            adapter: the LoRA GGUF.
            peft: a folder of PEFT weights to keep with it.
            activate: False adds the version without serving it; `use` can serve it later.

        Raises:
            AdapterError: the file is not a GGUF adapter, or the registry cannot be written; nothing is changed.
        """
        _check_adapter_file(adapter)
        with self._writing("publish the adapter"):
            number = 1 + max((int(v.name[:4]) for v in self.folder.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
            version = f"{number:04d}-{file_sha256(adapter)[:8]}"
            folder = self.folder / version
            aside = aside_of(folder)
            try:
                manifest = Manifest(
                    version=version,
                    base_sha256=self.base_sha256,
                    base_name=base_name,
                    created=_now(),
                    parents=tuple(parents),
                    training_run=training_run,
                    metrics=dict(metrics),
                    files=_copy(adapter, peft, aside),
                )
                write_manifest(aside, manifest)
                sync_folder(aside)
                os.rename(aside, folder)
                sync_folder(self.folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            if activate:
                self._serve(version, "publish")
        return self.get(version)

    def use(self, version: str | None) -> None:
        """Serve this version; None is the base model alone.

        Repeated for the same version, it makes readers check the files again.

        Raises:
            AdapterError: the version does not exist or is damaged; nothing is changed.
        """
        if version is not None:
            self._intact(version)
        with self._writing("change the adapter"):
            self._serve(version, "use")

    def rollback(self) -> str | None:
        """Serve the last intact version before the current one, which stays published.

        Returns:
            The version now served, None for the base model alone.

        Raises:
            AdapterError: no intact version was served before; nothing is changed.
        """
        with self._writing("roll back"):
            state = self._read_current()
            rest = list(state.previous)
            while rest:
                back = rest.pop()
                if back != state.current and self._can_serve(back):
                    self._write_current(back, tuple(rest), "rollback")
                    return back
        raise AdapterError(
            "There is nothing to roll back to: no other intact version was served before; "
            "`ucoder adapters list` shows the published ones."
        )

    # Inside.

    def _intact(self, name: str) -> AdapterVersion:
        version = self.get(name)
        version.verify()
        return version

    def _can_serve(self, name: str | None) -> bool:
        try:
            if name is not None:
                self._intact(name)
        except AdapterError:
            return False
        return True

    def _serve(self, version: str | None, what: str) -> None:
        state = self._read_current()
        left = () if version == state.current else (state.current,)
        self._write_current(version, (*state.previous, *left), what)

    def _read_current(self) -> _Current:
        path = self.folder / CURRENT_FILE
        try:
            return read_json(path, _Current)
        except FileNotFoundError:
            return _Current(None, (), ())
        except (OSError, ValueError) as error:
            raise AdapterError(
                f"{path} cannot be read ({error}): delete it, then run `ucoder adapters use VERSION`."
            ) from error

    def _write_current(self, version: str | None, previous: tuple[str | None, ...], what: str) -> None:
        event = {"at": _now(), "what": what, "version": version or "base"}
        state = _Current(version, previous, (*self._read_current().events, event))
        write_atomically(self.folder / CURRENT_FILE, to_json(state))

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Lock out writers of all processes; turn an OSError into one sentence."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                remove_abandoned(self.folder)
                yield
        except OSError as error:
            way_out = "free some space there" if error.errno == errno.ENOSPC else "make that folder writable"
            raise AdapterError(
                f"Cannot {what} in {self.folder} ({error.strerror or error}): {way_out}, or choose "
                "another data directory; what is served has not changed."
            ) from error


def bases(root: Path) -> list[str]:
    """Return the SHA-256 of every base model that has adapters here.

    If no manifest can be read, it is the folder's 16 digits: enough to go back to the base model alone.
    """
    folders = root.glob("[0-9a-f]" * 16)
    return sorted(_base_of(f) for f in folders if (f / CURRENT_FILE).exists() or any(f.glob("[0-9]*")))


def _base_of(folder: Path) -> str:
    for manifest in sorted(folder.glob(f"[0-9]*/{MANIFEST_FILE}")):
        with suppress(AdapterError):
            base = read_manifest(manifest.parent).base_sha256
            if base.startswith(folder.name):
                return base
    return folder.name


def _check_adapter_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise AdapterError(
            f"The adapter {path} cannot be read ({error.strerror}): export it again."
        ) from error
    if magic != b"GGUF":
        raise AdapterError(f"{path} is not a GGUF file: export the adapter to GGUF before publishing it.")


def _copy(adapter: Path, peft: Path | None, folder: Path) -> dict[str, str]:
    """Copy an adapter's files into a new folder and sync them.

    Returns the hash of each.
    """
    folder.mkdir()
    shutil.copyfile(adapter, folder / ADAPTER_FILE)
    if peft is not None:
        shutil.copytree(peft, folder / "peft", symlinks=False)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        sync_file(path)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
