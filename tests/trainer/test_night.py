"""A real night, as small as it can be: from the embedded model to an adapter, killed ten times on the way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.run.folder import RunFolder
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.models.prepare import EMBEDDED_SHA256

ROOT = Path(__file__).parents[2]
MARGIN = 8
"""Shards before the gate that no random kill waits for: a kill leaves a few more than it waited for."""


def start(run: Path, cache: Path, data: Path, *how: str) -> subprocess.Popen[str]:
    arguments = [str(run), str(cache), str(data), *(how or ("consensus",))]
    command = [sys.executable, "-m", "tests.trainer.nano_run", *arguments]
    with run.with_suffix(".log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)


def shards(run: Path) -> int:
    return sum(1 for _ in run.glob("shards/*/*.json"))


def kill_when(process: subprocess.Popen[str], reached: object) -> bool:
    """SIGKILL as soon as `reached()`; False when the process ended by itself before."""
    assert callable(reached)
    deadline = time.monotonic() + 600
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run makes no progress"
        if reached():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.005)
    return False


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_run_killed_ten_times_ends_with_the_same_data_set(tmp_path: Path, prepared_cache: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    # 1. Without interruption.
    process = start(whole, prepared_cache, tmp_path / "data-whole")
    out, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, whole.with_suffix(".log").read_text()[-2000:]
    result = json.loads(out.splitlines()[-1])
    n_shards = shards(whole)
    rows = (whole / "consensus" / "dataset.jsonl").read_text().splitlines()
    assert len(rows) == result["examples"] + result["learned"] >= 2
    assert result["own_answers_sha256"]

    # 2. The same, killed at seven random points of the stages, each time after some new work.
    before_gate = n_shards - sum(1 for _ in whole.glob("shards/gate/*.json"))
    points = sorted(random.Random(os.urandom(8)).sample(range(before_gate - MARGIN), 7))
    for point in points:
        wanted = max(point, shards(killed) + 1)
        process = start(killed, prepared_cache, tmp_path / "data")
        assert kill_when(process, lambda wanted=wanted: shards(killed) >= wanted)

    # 3. Once in the fine-tuning, once in the acceptance, and once between the publication and its record.
    torn = set(killed.glob("finetune/*.part/*"))
    process = start(killed, prepared_cache, tmp_path / "data")
    assert kill_when(process, lambda: not torn.issuperset(killed.glob("finetune/*.part/*")))
    assert not any(killed.glob("shards/gate/*.json"))
    process = start(killed, prepared_cache, tmp_path / "data")
    assert kill_when(process, lambda: any(killed.glob("shards/gate/*.json")))
    published = AdapterRegistry(tmp_path / "data" / "adapters", EMBEDDED_SHA256)
    assert published.versions() == []
    process = start(killed, prepared_cache, tmp_path / "data", "consensus", "die")
    process.communicate(timeout=1200)
    assert process.returncode == -signal.SIGKILL, killed.with_suffix(".log").read_text()[-2000:]
    (version,) = published.versions()
    assert not (killed / "consensus" / "result.json").exists()

    # 4. Continued: the same data set, and no finished work was done again.
    made = {path: path.stat().st_mtime_ns for path in killed.glob("shards/*/*.json")}
    process = start(killed, prepared_cache, tmp_path / "data")
    out, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, killed.with_suffix(".log").read_text()[-2000:]
    again = json.loads(out.splitlines()[-1])
    assert again["dataset_sha256"] == result["dataset_sha256"], f"killed at {points} shards"
    assert again["own_answers_sha256"] == result["own_answers_sha256"], f"killed at {points} shards"
    for name, sha256 in (("dataset", "dataset_sha256"), ("own-answers", "own_answers_sha256")):
        text = (killed / "consensus" / f"{name}.jsonl").read_bytes()
        assert hashlib.sha256(text).hexdigest() == result[sha256]
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert [path.name for path in killed.rglob("*.part")] == []

    # 5. Its result matches what is on disk.
    assert (killed / "consensus" / "report.html").read_text().count("</table>") >= 5
    assert published.versions() == [version], "published once"
    assert published.current() == version
    assert (again["version"], again["served"]) == (version.version, True)
    assert version.manifest.training_run.startswith("killed/consensus/")
    version.verify()
    assert not RunFolder(killed).is_at_work

    # 6. The control arm draws from the same shards; its adapter is kept and never served by itself.
    process = start(killed, prepared_cache, tmp_path / "data", "random")
    out, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, killed.with_suffix(".log").read_text()[-2000:]
    control = json.loads(out.splitlines()[-1])
    assert control["dataset_sha256"] != result["dataset_sha256"]
    for count in ("programs", "learned"):
        assert control[count] == result[count]
    assert published.get(control["version"]).manifest.training_run.startswith("killed/random/")
    assert published.current() == version
    assert not control["served"]
