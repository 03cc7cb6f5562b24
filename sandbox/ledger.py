"""Record every job of a batch in a file that survives kills.

A killed batch is run again with the same ledger, and resumes where it stopped. A record that the kill left incomplete
is dropped, so its job runs again. A record holds all fields of a result, with values as their canonical bytes.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cattrs

from sandbox.outcome import JobResult
from sandbox.pool import Sandbox
from sandbox.program import Job
from sandbox.values import Value

_CONVERTER = cattrs.Converter()
_CONVERTER.register_unstructure_hook(Value, lambda value: value.canonical.hex())
_CONVERTER.register_structure_hook(Value, lambda text, _: Value.parse(bytes.fromhex(text)))


class Ledger:
    """The terminal records by job index, one JSON line each.

    They are in the order in which the jobs ended.
    """

    def __init__(self, file: Path) -> None:
        """Open or continue `file`; an incomplete last line is cut off."""
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
        """Write the terminal record of a job.

        A second one for the same job raises `ValueError`.
        """
        if index in self:
            raise ValueError(f"job {index} has a terminal record already")
        self._note(index)
        line = {"job": index, **_CONVERTER.unstructure(result)}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file once it is safely on disk."""
        os.fsync(self._file.fileno())
        self._file.close()

    def results(self) -> Iterator[tuple[int, JobResult]]:
        """Read all records back."""
        with self.path.open("rb") as file:
            for line in file:
                record = json.loads(line)
                yield record["job"], _CONVERTER.structure(record, JobResult)


def run_batch(box: Sandbox, jobs: Iterable[Job], ledger: Ledger) -> Iterator[tuple[int, JobResult]]:
    """Run the jobs that the ledger does not hold yet.

    Yields each (index, result) after recording it.
    """
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
