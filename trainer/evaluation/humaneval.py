"""HumanEval and MBPP+ from a local file: tasks, the prompt for each, and how an answer is judged.

Neither file is part of this project. HumanEval is judged by its own test function, run in the sandbox.
MBPP+ gives inputs only: the reference solution runs on them in the sandbox, and its values are compared with
the candidate's outside, so a candidate never sees an expected answer.
"""

from __future__ import annotations

import ast
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.inputs.target import parse_quietly
from sandbox.limits import MIB, Limits
from sandbox.outcome import Outcome, Status
from sandbox.program import Call, Check, Expression, Job, Probe, Program
from trainer.errors import BenchmarkError
from trainer.evaluation.mbpp_inputs import typed_inputs
from trainer.evaluation.oracles import Oracle, oracle_of, passes

LIMITS = Limits(probe_wall_s=10.0, job_wall_s=180.0, cpu_s=120, memory_bytes=1024 * MIB, result_bytes=4 * MIB)
"""Generous: a benchmark asks whether a program is right, not whether it is fast. What hangs is ended by its single
input's limit."""
PATIENT = replace(LIMITS, probe_wall_s=120.0, job_wall_s=900.0, cpu_s=900)
"""For reference solutions, which do not hang: that of Mbpp/599 takes 34 s for its 91 inputs on a slow machine, and one
of them took more than 20 s where other work went on."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a benchmark."""

    id: str
    statement: str
    """What the prompt template shows: a stub (HumanEval) or a sentence with one assert (MBPP+)."""
    template: str
    """Name of the prompt template."""
    function: str
    prelude: str
    """Imports and helpers that the task gives."""
    reference: str
    """A complete program that is right."""
    probes: tuple[Probe, ...]
    oracle: Oracle | None = None
    """How MBPP+ values are compared; None where the probes judge themselves."""
    n_own: int | None = None
    """How many of the probes, the first, come from MBPP itself; None where EvalPlus added none."""

    def job(self, source: str, probes: tuple[Probe, ...]) -> Job:
        """A candidate with some of this task's probes."""
        return Job(Program(source), probes, LIMITS)

    def reference_job(self) -> Job:
        """The reference solution with them."""
        return Job(Program(self.reference), self.probes, PATIENT)

    def passed(self, got: Sequence[Outcome], expected: Sequence[Outcome] | None) -> bool:
        """Whether a program that gave the outcomes `got` is right; `expected` are those of the reference solution."""
        if self.oracle is None or expected is None:
            return all(outcome.status is Status.OK for outcome in got)
        return passes(self.oracle, expected, got)


def load_benchmark(name: str, path: Path) -> list[Task]:
    """The tasks of `humaneval` or `mbppplus` in a JSON-lines file, gzipped or not.

    Raises `BenchmarkError` with one sentence for a missing, damaged or other file.
    """
    make = {"humaneval": _humaneval, "mbppplus": _mbppplus}[name]
    rows = _rows(path)
    try:
        tasks = [make(row) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is no {name} file ({error!r}): check --benchmark.") from error
    if not tasks:
        raise BenchmarkError(f"{path} holds no tasks: download it again.")
    return tasks


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file, gzipped or not."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [dict(json.loads(line)) for line in raw.decode("utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path} does not exist: download the benchmark and give its path.") from error
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise BenchmarkError(f"{path} cannot be read as JSON lines ({error}): download it again.") from error


def _humaneval(row: dict[str, Any]) -> Task:
    function = row["entry_point"]
    return Task(
        id=row["task_id"],
        statement=row["prompt"].strip("\n"),
        template="solve_stub",
        function=function,
        prelude=_prelude(row["prompt"], function),
        reference=row["prompt"] + row["canonical_solution"],
        probes=(Check(f"{row['test']}\ncheck({function})\n"),),
    )


def _prelude(prompt: str, function: str) -> str:
    """Imports and helper functions in front of the stub, which a short answer leaves out."""
    tree = parse_quietly(prompt)
    if tree is None:
        raise ValueError(f"the prompt of {function} does not parse")
    kept = [node for node in tree.body if getattr(node, "name", None) != function]
    return "\n".join(ast.unparse(node) for node in kept)


NEEDS_MATH = {"Mbpp/120", "Mbpp/442", "Mbpp/574"}
"""Their asserts use math.isclose, and the reference solution does not import math."""


def _mbppplus(row: dict[str, Any]) -> Task:
    function = row["entry_point"]
    prelude = "import math\n" if row["task_id"] in NEEDS_MATH else ""
    oracle = oracle_of(row["task_id"], function, row["prompt"], float(row["atol"]))
    inputs = typed_inputs(function, row["assertion"], row["base_input"], row["plus_input"])
    return Task(
        id=row["task_id"],
        statement=row["prompt"].strip().strip('"').strip(),
        template="solve_sentence",
        function=function,
        prelude=prelude,
        reference=prelude + row["canonical_solution"],
        probes=tuple(_probe(function, arguments, oracle) for arguments in inputs),
        oracle=oracle,
        n_own=len(row["base_input"]) if row["plus_input"] else None,
    )


RETURNS_COUNTER = {"freq_count"}
"""A Counter is no plain data for the sandbox; as a dict it is, and says the same."""


def _probe(function: str, arguments: Sequence[object], oracle: Oracle) -> Probe:
    shown = ", ".join(map(repr, arguments))
    if function in RETURNS_COUNTER:
        return Expression(f"(lambda r: dict(r) if isinstance(r, dict) else r)({function}({shown}))")
    if oracle is Oracle.NOT_NONE:
        # These return a match object or None where the reference says True or False.
        return Expression(f"(lambda r: r if isinstance(r, bool) else r is not None)({function}({shown}))")
    return Call(function, tuple(arguments))


def statements(path: Path) -> list[str]:
    """The texts of a benchmark file of any kind, for decontamination: every string field of every line.

    Raises `BenchmarkError` for a file that is no JSON lines.
    """
    return [value for row in _rows(path) for value in row.values() if isinstance(value, str)]
