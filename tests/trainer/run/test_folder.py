"""A run keeps its parameters, and one process trains in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.run.whole_run import WHOLE, write_run
from trainer.errors import StoreError
from trainer.profile import PROFILES
from trainer.progress import StageProgress
from trainer.run.folder import RunFolder, RunRecord


def test_files_of_killed_writers_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    folder = tmp_path / "shards" / "stage"
    folder.mkdir(parents=True)
    dead = [
        tmp_path / f".progress.json.{gone.stdout.strip()}.part",
        folder / f".x.json.{gone.stdout.strip()}.part",
    ]
    alive = folder / f".x.json.{os.getpid()}.part"
    for path in (*dead, alive):
        path.write_text("{")
    RunFolder(tmp_path).clean()
    assert [path.exists() for path in (*dead, alive)] == [False, False, True]


def test_a_run_keeps_its_parameters(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False))
    run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False))
    with pytest.raises(StoreError, match=r"another --profile: repeat .*--run name"):
        run.open(RunRecord.of(PROFILES["small"], "embedded", "m", frozenset(), four_bit=False))
    with pytest.raises(StoreError, match="another --exclude:"):
        run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset({"a b"}), four_bit=False))
    with pytest.raises(StoreError, match="another --qlora:"):
        run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=True))
    with pytest.raises(StoreError, match=r"another --base, served model \(--served, .*\):"):
        run.open(RunRecord.of(PROFILES["tiny"], "other", "n", frozenset(), four_bit=False))
    with pytest.raises(
        StoreError, match=r"other numbers of its profile \(rank\): give this one another --run"
    ):
        run.open(
            RunRecord.of(replace(PROFILES["tiny"], rank=8), "embedded", "m", frozenset(), four_bit=False)
        )
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False))


def test_another_night_is_added_only_to_a_finished_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)

    def nights(*, another: bool, finished: int) -> int:
        requested = RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
        return run.open(requested, another=another, finished=finished)

    for _ in range(2):
        assert nights(another=True, finished=0) == 1, "the first night is not finished"
    assert nights(another=False, finished=1) == 1
    for another in (True, True, False):
        assert nights(another=another, finished=1) == 2, "a killed second night is finished first"
    assert nights(another=False, finished=2) == 2
    assert nights(another=True, finished=2) == 3


def test_a_run_of_this_release_continues(tmp_path: Path) -> None:
    write_run(tmp_path)
    written = (tmp_path / "run.json").read_text()
    run = RunFolder(tmp_path)
    requested = RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    assert run.open(requested) == 2
    assert (tmp_path / "run.json").read_text() == written
    assert run.open(requested, another=True, finished=2) == 3
    assert (tmp_path / "run.json").read_text() == json.dumps(WHOLE["run.json"] | {"nights": 3}, indent=1)


def test_two_processes_do_not_train_in_one_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "r")
    assert not run.is_at_work
    with run.locked():
        assert run.is_at_work
        with pytest.raises(StoreError, match="Another process is training"), run.locked():
            pass
    assert not run.is_at_work


@pytest.mark.parametrize(
    ("name", "field"),
    [("run.json", "qlora"), ("run.json", "nights")],
)
def test_a_run_of_an_earlier_version_is_refused(tmp_path: Path, name: str, field: str) -> None:
    write_run(tmp_path)
    lacking = {key: value for key, value in WHOLE[name].items() if key != field}
    (tmp_path / name).write_text(json.dumps(lacking))
    run = RunFolder(tmp_path)
    with pytest.raises(StoreError, match=f"has no '{field}', .* under another --run name") as refused:
        run.open(RunRecord.of(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "kind", "text", "says"),
    [
        ("progress.json", StageProgress, "{}", r"is damaged \(it has no 'stage'\): remove it"),
        ("run.json", RunRecord, "null", r"is damaged \(it is JSON of something else\): remove it"),
    ],
)
def test_a_damaged_file_is_called_damaged(
    tmp_path: Path, name: str, kind: type, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StoreError, match=says):
        RunFolder(tmp_path).read(name, kind)
