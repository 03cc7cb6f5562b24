"""The shards of a training run.

Each piece of work is in a file named by the hash of its inputs.

A shard's key is the hash of the model, the prompt, the parameters and the input. So work is found again after any
kill or change, and never confused with other work. A shard appears whole (written aside, synced, renamed) or not at
all. A later damage shows in its checksum, and the shard is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trainer.errors import disk_errors
from trainer.run.records import from_plain, to_plain
from ucoder_lsp.files import write_atomically

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of work, with the version of its outputs."""

    name: str
    """The folder of its shards."""
    version: int = 1
    """Part of the shard key. Raise it when the same input is to give another output: earlier shards are then unused."""

    def key(self, made_from: Sequence[Any]) -> list[Any]:
        """Return the shard key, as data.

        Version 1 is left out, so that runs from before the versions continue.
        """
        return [*([] if self.version == 1 else [self.version]), *made_from]


class Store:
    """One folder of shards, `STAGE/KEY.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_or_make(
        self, stage: Stage, made_from: Sequence[Any], make: Callable[[], T], kind: type[T]
    ) -> T:  # fmt: skip
        """Return what was made from `made_from`, made now if need be.

        Args:
            stage: the stage that the shard belongs to.
            made_from: all that the output depends on: plain JSON data and dataclasses of it.
            make: does the work.
            kind: the type of the output, as `trainer.run.records` reads it.

        Raises:
            StoreError: the disk is full or the folder is not writable; finished shards are kept.
        """
        key = to_plain(stage.key(made_from))
        path = self.folder / stage.name / f"{digest(key)}.json"
        output = _read(path)
        if output is None:
            # Through JSON and back, so that a fresh output and a found one are equal.
            output = json.loads(json.dumps(to_plain(make())))
            with disk_errors(self.folder):
                if not path.parent.is_dir():
                    path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(
                    path, json.dumps({"sha256": digest(output), "made_from": key, "output": output})
                )
        return from_plain(output, kind)


def _read(path: Path) -> Any | None:
    """Read the output in a shard, None if it is missing or damaged."""
    try:
        shard = json.loads(path.read_text("utf-8"))
        return shard["output"] if shard["sha256"] == digest(shard["output"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest(data: Any) -> str:
    """Return the hexadecimal SHA-256 of JSON data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
