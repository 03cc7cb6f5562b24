"""The shards of a training run: every piece of work under the hash of what it was made from, written once.

A shard's key is the hash of the model, the prompt, the parameters and the input that made it, so work is found
again whatever was killed, changed or added in between, and never confused with other work. A shard appears whole
(written aside, synced, renamed) or not at all; one that was damaged later is noticed by its checksum and made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.errors import disk_errors
from ucoder_lsp.files import write_atomically


class Store:
    """One folder of shards, `STAGE/KEY.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, stage: str, parts: Any) -> Any | None:
        """What was made from `parts`, None where nothing was (or it was damaged)."""
        try:
            shard = json.loads(self._path(stage, parts).read_text("utf-8"))
            return shard["output"] if shard["sha256"] == digest(shard["output"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def get_or_make(self, stage: str, parts: Any, make: Callable[[], Any]) -> Any:
        """What was made from `parts`, made now if need be. `parts` and the result are plain JSON data.

        Raises:
            StoreError: the disk is full or the folder is not writable; finished shards are kept.
        """
        found = self.get(stage, parts)
        if found is not None:
            return found
        # Through JSON and back, so that a fresh result and a found one are the same thing.
        output = json.loads(json.dumps(make()))
        path = self._path(stage, parts)
        with disk_errors(self.folder):
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(
                path, json.dumps({"sha256": digest(output), "made_from": parts, "output": output})
            )
        return output

    def _path(self, stage: str, parts: Any) -> Path:
        return self.folder / stage / f"{digest(parts)}.json"


def digest(data: Any) -> str:
    """SHA-256 of plain JSON data, hexadecimal; key order does not count."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
