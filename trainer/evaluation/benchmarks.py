"""Reads benchmark files.

JSON lines on this machine, gzipped or not. Nothing is downloaded.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from trainer.errors import BenchmarkError
from trainer.evaluation.humaneval import humaneval_task
from trainer.evaluation.mbpp import mbppplus_task
from trainer.evaluation.task import Task

BENCHMARKS = {"humaneval": humaneval_task, "mbppplus": mbppplus_task}
"""How a line of each benchmark becomes a task."""


def load_benchmark(name: str, path: Path) -> list[Task]:
    """Load the tasks of a benchmark in `BENCHMARKS`, in order.

    Raises:
        BenchmarkError: the file is missing, damaged, empty or of another benchmark; one sentence.
    """
    rows = json_lines(path)
    try:
        tasks = [BENCHMARKS[name](row) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is not a {name} file ({error!r}): check --benchmark.") from error
    if not tasks:
        raise BenchmarkError(f"{path} holds no tasks: download it again.")
    return tasks


def statements(path: Path) -> list[str]:
    """Return every string field of every line.

    The trainer excludes problems that repeat one.

    Raises:
        BenchmarkError: the file is missing or does not hold JSON lines.
    """
    return [value for row in json_lines(path) for value in row.values() if isinstance(value, str)]


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file, gzipped or not.

    Raises:
        BenchmarkError: the file is missing or does not hold JSON lines.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [dict(json.loads(line)) for line in raw.decode("utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path} does not exist: download the benchmark and give its path.") from error
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise BenchmarkError(f"{path} cannot be read as JSON lines ({error}): download it again.") from error
