"""A run folder: what was asked, what was made, what came out.

RUN/run.json        base, profile and options; fixed by the first start
RUN/progress.json   the stage at work
RUN/shards/         the work of the stages (`store`)
RUN/ARM/            dataset.jsonl, own-answers.jsonl, result.json, report.html of one arm: consensus, or the random
                    control
RUN/finetune/       adapters, by what they were made from
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import StoreError, disk_errors
from trainer.profile import Profile
from trainer.run.store import Store, digest
from ucoder_lsp.files import remove_abandoned, write_atomically

OPTIONS = {
    "profile": "--profile", "base": "--base", "model_id": "served model (--served, or what --base names)",
    "excluded": "--exclude", "qlora": "--qlora",
}  # fmt: skip
"""What people say for each fact of run.json."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @property
    def store(self) -> Store:
        return Store(self.path / "shards")

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def finetune(self) -> Path:
        return self.path / "finetune"

    def arm(self, name: str) -> Path:
        """Folder of one arm, made when missing."""
        folder = self.path / name
        with disk_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write(self, relative: str, text: str) -> Path:
        """Write a file of the run: whole, or not at all."""
        path = self.path / relative
        with disk_errors(self.path):
            write_atomically(path, text)
        return path

    def read(self, relative: str) -> Any | None:
        """A JSON file of the run, None when it is not there; `StoreError` when it is damaged."""
        path = self.path / relative
        try:
            found = json.loads(path.read_text("utf-8"))
            if not _is_whole(path.name, found):
                raise ValueError("it is JSON of something else")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(
                f"{path} is damaged ({error}): remove it and run the same command again."
            ) from error
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out; `StoreError` when one is at work. Released with the process, however it ends."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"Another process is training in {self.path}: wait for it (ucoder train status), or name "
                    "another run."
                ) from None
            yield
        finally:
            os.close(handle)

    def clean(self) -> None:
        """Remove what killed processes left half-written."""
        for folder in (self.path, *filter(Path.is_dir, self.path.rglob("*"))):
            remove_abandoned(folder)

    @property
    def is_at_work(self) -> bool:
        """Whether a process holds the run at this moment."""
        try:
            with self.locked():
                return False
        except StoreError:
            return True

    def open(
        self,
        profile: Profile,
        base: str,
        model_id: str,
        excluded: frozenset[str],
        *,
        four_bit: bool,
        another: bool = False,
    ) -> int:
        """Fix what the run is about at its first start; the nights that it is to learn from.

        `another` adds one to those of a finished run. A night that was stopped comes to its end first.
        Raises `StoreError` when the run is about something else.
        """
        asked = {
            "profile": profile.to_json(),
            "base": base,
            "model_id": model_id,
            "excluded": digest(sorted(excluded)),
            "qlora": four_bit,
        }
        known = self.read("run.json")
        nights = 1
        if known is not None:
            known.setdefault("qlora", False)  # not kept by the first versions
            nights = int(known.pop("nights", 1))  # nor this
            if known != asked:
                raise StoreError(f"The run {self.path.name!r} was started with {_difference(known, asked)}")
            if not another or self.finished_nights("consensus") < nights:
                return nights
            nights += 1
        self.write("run.json", json.dumps({**asked, "nights": nights}, indent=1))
        return nights

    def finished_nights(self, arm: str) -> int:
        """How many nights the result of an arm comes from, 0 without one."""
        result = self.read(f"{arm}/result.json")
        return 0 if result is None else int(result.get("nights", 1))  # not kept by the first versions


def _is_whole(name: str, found: Any) -> bool:
    """Whether a file holds what its readers take from it."""
    match name, found:
        case "run.json", {"profile": {"name": str()}, "base": str()}:
            return isinstance(found.get("nights", 1), int)
        case "progress.json", {"stage": str(), "done": int(), "total": int(), "note": str()}:
            return True
        case "result.json", {"version": str() | None, "examples": int(), "report": str()}:
            return isinstance(found.get("nights", 1), int)
    return False


def _difference(known: dict[str, Any], asked: dict[str, Any]) -> str:
    """What a run was started with that is not asked now, and the way out; a release may change a profile's numbers."""
    different = [key for key in asked if known.get(key) != asked[key]]
    before, now = known.get("profile", {}), asked["profile"]
    if different == ["profile"] and before.get("name") == now["name"]:
        numbers = ", ".join(sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k)))
        return f"other numbers of its profile ({numbers}): give this one another --run name."
    options = ", ".join(OPTIONS[key] for key in different)
    return f"another {options}: repeat what it was started with, or give this one another --run name."
