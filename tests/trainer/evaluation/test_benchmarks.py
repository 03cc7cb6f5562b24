"""Benchmark files: gzipped or not, and one sentence for every file that is not one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.trainer.evaluation.test_humaneval import ROW
from trainer.errors import BenchmarkError
from trainer.evaluation.benchmarks import load_benchmark, statements


def test_a_file_may_be_gzipped(tmp_path: Path) -> None:
    plain, packed = tmp_path / "tasks.jsonl", tmp_path / "tasks.jsonl.gz"
    plain.write_text(json.dumps(ROW) + "\n\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (task,) = load_benchmark("humaneval", plain)
    assert load_benchmark("humaneval", packed) == [task]
    assert ROW["prompt"] in statements(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no tasks"),
        (b'{"a": 1}\n', "is not a humaneval file"),
        (b"[1]\n", "cannot be read as JSON lines"),
        (b"\xff", "cannot be read as JSON lines"),
        (None, "does not exist"),
    ],
)
def test_a_file_without_tasks_is_reported_in_one_sentence(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "tasks.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        load_benchmark("humaneval", file)
    assert "\n" not in str(error.value)
