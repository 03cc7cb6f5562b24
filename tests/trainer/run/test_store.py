"""Shards are written once and whole."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from trainer.run.store import Stage, Store

STAGE = Stage("stage")


def test_a_shard_is_made_once_and_found_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, object]:
        calls.append(1)
        return {"a": (1, 2)}

    for _ in range(2):
        assert Store(tmp_path).get_or_make(STAGE, ["k", {"b": 1}], make, dict) == {"a": [1, 2]}
    assert len(calls) == 1
    Store(tmp_path).get_or_make(STAGE, ["k", {"b": 2}], make, dict)
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    calls: list[int] = []

    def make() -> list[int]:
        calls.append(1)
        return [1, 2, 3]

    def read() -> list[int]:
        return Store(tmp_path).get_or_make(STAGE, ["k"], make, list[int])

    read()
    (path,) = tmp_path.glob("stage/*.json")
    text = path.read_text()
    changed = text.replace("[1, 2, 3]", "[1, 2, 4]")
    path.write_text({"cut": text[:-9], "changed": changed, "empty": "", "other": "[]"}[damage])
    assert read() == [1, 2, 3]
    assert len(calls) == 2
    assert path.read_text() == text


def test_threads_can_make_the_same_shard_at_once(tmp_path: Path) -> None:
    """Two problems with the same prompt are one piece of work, begun twice."""
    store, meeting = Store(tmp_path), Barrier(8, timeout=20)

    def make() -> list[str]:
        meeting.wait()
        return ["made"] * 1000

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            found = threads.map(
                lambda _, key=number: store.get_or_make(STAGE, [key], make, list[str]), range(8)
            )
            assert list(found) == [["made"] * 1000] * 8


def test_a_full_disk_is_one_sentence_and_keeps_finished_shards(tmp_path: Path) -> None:
    """A real refusal of the system: no file of this process may grow beyond 1,000 bytes."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from trainer.errors import StoreError; from trainer.run.store import Stage, Store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "store = Store(Path(sys.argv[1])); store.get_or_make(Stage('stage'), ['small'], lambda: 1, int)\n"
        "try: store.get_or_make(Stage('stage'), ['large'], lambda: 'x' * 5000, str)\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Cannot write ")
    assert done.stdout.count("\n") == 1
    assert Store(tmp_path).get_or_make(STAGE, ["small"], lambda: 2, int) == 1
    assert [path.name for path in tmp_path.rglob("*.part")] == []
