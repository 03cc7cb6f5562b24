"""A batch that survives its supervisor: every job's one terminal record, appended to a file.

A batch killed anywhere is run again with the same ledger and goes on where it was; a record torn by the kill
is dropped, so its job runs again. Records hold what a result holds; values as their canonical bytes.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Job
from sandbox.values import Value


class Ledger:
    """Terminal records by job index, one JSON line each, in the order the jobs ended."""

    def __init__(self, file: Path) -> None:
        """Open or continue `file`; a last line without its end is cut off."""
        # All jobs below `_below`, and those in `_beyond`: jobs end nearly in order, so this stays small.
        self._below = 0
        self._beyond: set[int] = set()
        whole = 0
        if file.exists():
            with file.open("rb") as old:
                for line in old:
                    if not line.endswith(b"\n"):
                        break
                    self._note(json.loads(line)["job"])
                    whole += len(line)
            os.truncate(file, whole)
        self._file = file.open("ab")
        self.path = file

    def __contains__(self, index: int) -> bool:
        return index < self._below or index in self._beyond

    def __len__(self) -> int:
        return self._below + len(self._beyond)

    def _note(self, index: int) -> None:
        self._beyond.add(index)
        while self._below in self._beyond:
            self._beyond.remove(self._below)
            self._below += 1

    def record(self, index: int, result: JobResult) -> None:
        """Write a job's terminal record; a second one for the same job is a bug and raises `ValueError`."""
        if index in self:
            raise ValueError(f"job {index} has a terminal record already")
        self._note(index)
        line = {"job": index, **_plain(result)}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, safely on disk."""
        os.fsync(self._file.fileno())
        self._file.close()

    def results(self) -> Iterator[tuple[int, JobResult]]:
        """Read all records back."""
        with self.path.open("rb") as file:
            for line in file:
                record = json.loads(line)
                yield record.pop("job"), _result(record)


def run_batch(box: Sandbox, jobs: Iterable[Job], ledger: Ledger) -> Iterator[tuple[int, JobResult]]:
    """Run the jobs that the ledger does not know yet, recording each before it is handed on."""
    numbers: dict[int, int] = {}
    positions = itertools.count()

    def open_jobs() -> Iterator[Job]:
        for index, job in enumerate(jobs):
            if index not in ledger:
                numbers[next(positions)] = index
                yield job

    for position, result in box.stream(open_jobs()):
        index = numbers.pop(position)
        ledger.record(index, result)
        yield index, result


def _plain(result: JobResult) -> dict[str, Any]:
    data = asdict(result)
    for outcome, plain in zip(result.outcomes, data["outcomes"], strict=True):
        plain["value"] = None if outcome.value is None else outcome.value.canonical.hex()
    return data


def _result(data: dict[str, Any]) -> JobResult:
    outcomes = tuple(_outcome(plain) for plain in data["outcomes"])
    return JobResult(_outcome(data["load"]), outcomes, data["tier"], data["wall_s"])


def _outcome(plain: dict[str, Any]) -> Outcome:
    value = None if plain["value"] is None else Value.parse(bytes.fromhex(plain["value"]))
    return Outcome(**{**plain, "status": Status(plain["status"]), "value": value})
