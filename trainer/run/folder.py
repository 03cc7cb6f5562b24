"""A run folder.

It holds the parameters of a training run, its work and its results.

RUN/run.json        base model, profile and options (`RunRecord`); fixed by the first start
RUN/progress.json   the stage at work (`trainer.progress`)
RUN/shards/         the work of the stages (`trainer.run.store`)
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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from trainer.errors import StoreError, disk_errors
from trainer.profile import Profile
from trainer.run.records import from_plain, to_plain
from trainer.run.store import Store, digest
from ucoder_lsp.files import remove_abandoned, write_atomically

T = TypeVar("T")

OPTIONS = {
    "profile": "--profile", "base": "--base", "model_id": "served model (--served, or what --base names)",
    "excluded": "--exclude", "qlora": "--qlora",
}  # fmt: skip
"""The command-line option behind each field of run.json."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The parameters of a run: run.json."""

    profile: dict[str, Any]
    """As it was at the first start: another release may have other fields."""
    base: str
    model_id: str
    excluded: str
    """Hash of the word runs that no problem may hold."""
    qlora: bool
    nights: int

    def __post_init__(self) -> None:
        """Raises `ValueError` for a profile without a name."""
        if not isinstance(self.profile.get("name"), str):
            raise ValueError("its profile has no name")

    @classmethod
    def of(
        cls, profile: Profile, base: str, model_id: str, excluded: frozenset[str], *, four_bit: bool
    ) -> RunRecord:
        """Describe a run that is to start or to continue."""
        return cls(to_plain(profile), base, model_id, digest(sorted(excluded)), four_bit, nights=1)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @property
    def store(self) -> Store:
        """The shards."""
        return Store(self.path / "shards")

    @property
    def progress(self) -> Path:
        """The file of the stage at work."""
        return self.path / "progress.json"

    @property
    def finetune(self) -> Path:
        """The folder of the adapters."""
        return self.path / "finetune"

    def arm(self, name: str) -> Path:
        """Return the folder of one arm, made when missing."""
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

    def read(self, relative: str, kind: type[T]) -> T | None:
        """Read a JSON file as a record, None if it is missing.

        Raises:
            StoreError: the file is damaged, or lacks a field because an earlier version wrote it.
        """
        path = self.path / relative
        try:
            return from_plain(json.loads(path.read_text("utf-8")), kind)
        except FileNotFoundError:
            return None
        except KeyError as error:
            if path == self.progress:  # only shown, and written anew by the next run
                raise StoreError(_damaged(path, f"it has no {error}")) from error
            raise StoreError(
                f"{path} has no {error}, so an earlier version of UCoder wrote it: start a run under another --run "
                "name."
            ) from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StoreError(_damaged(path, error)) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out; released with the process, however it ends.

        Raises:
            StoreError: another process trains in this folder.
        """
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
        """Remove the half-written files of killed processes."""
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

    def open(self, requested: RunRecord, *, another: bool = False, finished: int = 0) -> int:
        """Fix the parameters of the run at its first start.

        Returns its number of nights.

        Args:
            requested: the parameters of this start.
            another: add a night if all are finished; a night that was stopped is finished first.
            finished: the nights that consensus has finished.

        Raises:
            StoreError: the run has other parameters.
        """
        known = self.read("run.json", RunRecord)
        nights = 1
        if known is not None:
            nights = known.nights
            different = _difference(known, requested)
            if different:
                raise StoreError(f"The run {self.path.name!r} was started with {different}")
            if not another or finished < nights:
                return nights
            nights += 1
        self.write("run.json", json.dumps(to_plain(replace(requested, nights=nights)), indent=1))
        return nights


def _difference(known: RunRecord, requested: RunRecord) -> str:
    """Describe the parameters that differ, and the way out.

    The text is empty where none differs.

    Another release may change a profile's numbers.
    """
    different = [
        field.name
        for field in fields(RunRecord)
        if field.name != "nights" and getattr(known, field.name) != getattr(requested, field.name)
    ]
    if not different:
        return ""
    before, now = known.profile, requested.profile
    if different == ["profile"] and before["name"] == now["name"]:
        numbers = ", ".join(sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k)))
        return f"other numbers of its profile ({numbers}): give this one another --run name."
    options = ", ".join(OPTIONS[key] for key in different)
    return f"another {options}: repeat what it was started with, or give this one another --run name."


def _damaged(path: Path, reason: object) -> str:
    return f"{path} is damaged ({reason}): remove it and run the same command again."
