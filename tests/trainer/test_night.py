"""Kill a real night at each kind of moment: from the embedded model to an adapter, as small as it can be.

`test_resumption` stops a scripted model after every shard. Here the process, the model, the fine-tuning and SIGKILL are
real.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.run.folder import RunFolder
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.models.prepare import EMBEDDED_SHA256

ROOT = Path(__file__).parents[2]
MOMENTS = {
    "it samples problems": (3, "shards/problems/*.json"),
    "it samples its own answers": (1, "shards/own answers/*.json"),
    "it fine-tunes": (1, "finetune/*.part/checkpoint-*/trainer_state.json"),
}
"""The moments of the kills, in order: so many files of this pattern. The publication follows."""


class Night:
    """A run folder, and the processes that work in it one after the other."""

    def __init__(self, run: Path, cache: Path) -> None:
        self.run = run
        self.data = run.with_suffix(".data")
        self._cache = cache

    def start(self, *how: str) -> subprocess.Popen[str]:
        arguments = [str(self.run), str(self._cache), str(self.data), *how]
        command = [sys.executable, "-m", "tests.trainer.nano_run", *arguments]
        with self.run.with_suffix(".log").open("a") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)

    def log(self) -> str:
        """Return the end of their log, for the message of a failure."""
        return self.run.with_suffix(".log").read_text()[-2000:]

    def made(self, pattern: str) -> int:
        return sum(1 for _ in self.run.glob(pattern))

    def shards(self) -> dict[Path, int]:
        """Return the time at which each shard was written."""
        return {path: path.stat().st_mtime_ns for path in self.run.glob("shards/*/*.json")}

    def has_its_last_data_set(self) -> bool:
        """Check for the second fine-tuning, or for the gate where the data set stayed the same."""
        key = "?" * 16  # no pattern with *: it would find the half-written export of the first adapter too
        finished, begun = f"finetune/{key}/losses.json", f"finetune/{key}.part"
        return bool(self.made("shards/gate/*.json") or (self.made(finished) and self.made(begun)))

    def kill_when(self, reached: Callable[[], bool]) -> None:
        """Start a process, and send SIGKILL as soon as `reached()`."""
        process = self.start()
        deadline = time.monotonic() + 600
        while not reached():
            assert process.poll() is None, f"it ended before: {self.log()}"
            assert time.monotonic() < deadline, f"it makes no progress: {self.log()}"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"it ended before: {self.log()}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_at_each_kind_of_moment_ends_with_the_same_data_set(
    tmp_path: Path, prepared_cache: Path
) -> None:
    # 1. Without interruption, as far as its last data set.
    whole = Night(tmp_path / "whole", prepared_cache)
    whole.kill_when(whole.has_its_last_data_set)
    wanted = {
        name: hashlib.sha256((whole.run / "consensus" / f"{name}.jsonl").read_bytes()).hexdigest()
        for name in ("dataset", "own-answers")
    }

    # 2. The same, killed at each moment, and once more between the publication and its record.
    killed = Night(tmp_path / "killed", prepared_cache)
    made: dict[Path, int] = {}
    for n, pattern in MOMENTS.values():
        assert killed.made(pattern) < n, "each kill comes after something new"
        killed.kill_when(lambda n=n, pattern=pattern: killed.made(pattern) >= n)
        made = killed.shards() | made
    published = AdapterRegistry(killed.data / "adapters", EMBEDDED_SHA256)
    assert published.versions() == []
    process = killed.start("die")
    process.communicate(timeout=900)
    assert process.returncode == -signal.SIGKILL, killed.log()
    (version,) = published.versions()
    assert not (killed.run / "consensus" / "result.json").exists()
    made = killed.shards() | made

    # 3. Continued: the same samples and data set, and no finished work was done again.
    process = killed.start()
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, killed.log()
    result = json.loads(out.splitlines()[-1])
    assert result["examples"] >= 2
    assert (result["dataset_sha256"], result["own_answers_sha256"]) == (
        wanted["dataset"],
        wanted["own-answers"],
    )
    for name, sha256 in wanted.items():
        text = (killed.run / "consensus" / f"{name}.jsonl").read_bytes()
        assert hashlib.sha256(text).hexdigest() == sha256
    assert killed.shards() == made
    for shard in whole.shards():
        assert (killed.run / shard.relative_to(whole.run)).read_bytes() == shard.read_bytes()
    assert killed.made("**/*.part") == 0

    # 4. Its result matches what is on disk.
    assert (killed.run / "consensus" / "report.html").read_text().count("</table>") >= 5
    assert published.versions() == [version], "published once"
    assert published.current() == version
    assert (result["version"], result["served"]) == (version.version, True)
    assert version.manifest.training_run.startswith("killed/consensus/")
    version.verify()
    assert not RunFolder(killed.run).is_at_work
