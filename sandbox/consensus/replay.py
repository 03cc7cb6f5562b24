"""Run recorded samples, so that many tasks become evidence for the rules.

A recorded file has one JSON object per line: `task_id, prompt, entry_point, solutions[], tests[], check`
(gzip or plain). Every distinct program runs once in the sandbox on the probes of its task. The official test
`check` runs in a job of its own and is used for scoring only, never for inputs, clusters or weights.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sandbox.consensus.election import Ballot, distinct, evidence, outcomes_of, run_all
from sandbox.consensus.signature import behaviour_of, group
from sandbox.consensus.types import Evidence
from sandbox.inputs import ProbeSet, propose
from sandbox.inputs.refine import choose_distinguishing, refine
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Check, Probe

PROBE_BUDGET = 300
"""Probes before the first clustering: examples, asserts, edge cases, mutations, typical values."""
REFINE_BUDGET = 96
"""Neighbours of disagreeing inputs that are tried on one representative of each cluster."""
REFINE_KEPT = 32
"""The number of those that are run on every candidate: the ones that separate representatives best."""
REPRESENTATIVES = 24
"""Most clusters, largest first, whose representatives run those neighbours."""

PROBE_LIMITS = Limits(probe_wall_s=0.2, job_wall_s=1.0, cpu_s=2)
CHECK_LIMITS = Limits(probe_wall_s=3.0, job_wall_s=4.0, cpu_s=4)

Progress = Callable[[str, int, int], None]
"""Called with a task's name, the number of tasks done, and the number of all tasks."""


class RecordingError(ValueError):
    """Raised for a recorded file that cannot be used.

    The message names the line and the error.
    """


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """One recorded task, its solutions already cut to the function's body."""

    task_id: str
    prompt: str
    entry_point: str
    programs: tuple[str, ...]
    tests: tuple[str, ...] = ()
    check: str = ""


@dataclass(frozen=True, slots=True)
class ReplayedTask:
    """A task with the evidence of its programs.

    There is one row per recorded solution, in recorded order.
    """

    task: RecordedTask
    probes: tuple[Probe, ...]
    origins: tuple[str, ...]
    evidence: Evidence
    correct: tuple[bool, ...] = field(default=())
    """Whether each solution passes the official test; empty where there is none."""

    def subset(self, chosen: Sequence[int]) -> tuple[Evidence, tuple[bool, ...]]:
        """Return evidence and official results of some solutions, in given order."""
        evidence = replace(
            self.evidence,
            outcomes=tuple(self.evidence.outcomes[i] for i in chosen),
            sources=tuple(self.evidence.sources[i] for i in chosen),
            log_probabilities=tuple(self.evidence.log_probabilities[i] for i in chosen),
        )
        return evidence, tuple(self.correct[i] for i in chosen) if self.correct else ()


def load(path: Path) -> list[RecordedTask]:
    """Read a recorded file.

    Raises `RecordingError`, which names the line that cannot be used.
    """
    opener = gzip.open if path.read_bytes()[:2] == b"\x1f\x8b" else open
    tasks = []
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    tasks.append(_parse(line, f"{path.name}, line {number}"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name} is not a readable text or gzip file: {error}") from error
    if not tasks:
        raise RecordingError(f"{path.name} holds no task. Each line must be a JSON object with one task.")
    return tasks


def _parse(line: str, where: str) -> RecordedTask:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise RecordingError(f"{where} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise RecordingError(f"{where} is not a JSON object.")
    for name, kind in (("prompt", str), ("entry_point", str), ("solutions", list)):
        if not isinstance(record.get(name), kind):
            raise RecordingError(f"{where} needs the field {name!r} ({kind.__name__}).")
    prompt = record["prompt"]
    solutions = [text for text in record["solutions"] if isinstance(text, str)]
    tests = record.get("tests")
    return RecordedTask(
        task_id=str(record.get("task_id", where)),
        prompt=prompt,
        entry_point=record["entry_point"],
        programs=tuple(prompt + cut_body(text) for text in solutions),
        # A recorded test completion continues the word "assert" that its prompt ended with.
        tests=tuple(f"assert {text}" for text in tests if isinstance(text, str))
        if isinstance(tests, list)
        else (),
        check=record["check"] if isinstance(record.get("check"), str) else "",
    )


def cut_body(solution: str) -> str:
    """Cut a sampled continuation at the end of the function's body.

    That is the first line at the top level.
    """
    kept: list[str] = []
    quote = ""
    for line in solution.split("\n"):
        if (
            not quote
            and line.strip()
            and not line[0].isspace()
            and (kept or not line.startswith((")", "]", "}")))
        ):
            break
        kept.append(line)
        for delimiter in ('"""', "'''"):
            if quote in ("", delimiter) and line.count(delimiter) % 2:
                quote = "" if quote else delimiter
    return "\n".join(kept).rstrip() + "\n"


def replay(
    tasks: Sequence[RecordedTask], sandbox: Sandbox, *, seed: int = 0, progress: Progress | None = None
) -> Iterator[ReplayedTask]:
    """Run every task's programs on probe inputs.

    Each task's official test runs in a job of its own.
    """
    for number, task in enumerate(tasks):
        yield replay_task(task, sandbox, seed=seed)
        if progress is not None:
            progress(task.task_id, number + 1, len(tasks))


def replay_task(task: RecordedTask, sandbox: Sandbox, *, seed: int = 0) -> ReplayedTask:
    """Collect the evidence and the official results of one task."""
    unique = distinct(task.programs)
    position = {text: i for i, text in enumerate(unique)}
    rows = [position[text] for text in task.programs]

    # 1. First probes, on every distinct program.
    proposed = propose(task.prompt, task.entry_point, tests=task.tests, budget=PROBE_BUDGET, seed=seed)
    outcomes = run_probes(unique, proposed.probes, sandbox)

    # 2. Distinguishing probes: many on the representatives of the clusters, the best on every program.
    extra = _distinguishing(task, unique, proposed, outcomes, rows, sandbox, seed)
    if extra.probes:
        added = run_probes(unique, extra.probes, sandbox)
        outcomes = [(*first, *second) for first, second in zip(outcomes, added, strict=True)]

    ballots = [Ballot(program) for program in task.programs]
    correct = official(task, unique, sandbox) if task.check else ()
    return ReplayedTask(
        task,
        (*proposed.probes, *extra.probes),
        (*proposed.origins, *extra.origins),
        evidence(ballots, [outcomes[row] for row in rows], proposed),
        tuple(correct[row] for row in rows) if correct else (),
    )


def run_probes(
    programs: Sequence[str], probes: Sequence[Probe], sandbox: Sandbox
) -> list[tuple[Outcome, ...]]:
    """Return one row of outcomes per program."""
    return outcomes_of(run_all(programs, probes, sandbox=sandbox, limits=PROBE_LIMITS), len(probes))


def _distinguishing(
    task: RecordedTask,
    programs: Sequence[str],
    tried: ProbeSet,
    outcomes: Sequence[tuple[Outcome, ...]],
    rows: Sequence[int],
    sandbox: Sandbox,
    seed: int,
) -> ProbeSet:
    """Return probes that separate the largest clusters, if there are two."""
    none = ("",) * len(programs), (0.0,) * len(programs)
    labels = behaviour_of(Evidence(tuple(outcomes), *none)).labels
    members = np.flatnonzero((labels >= 0).any(axis=1)) if labels.size else np.arange(0)
    weight = np.bincount(rows, minlength=len(programs)).astype(np.float64)
    clusters = sorted(group(labels[members], members), key=lambda c: -weight[c].sum())[:REPRESENTATIVES]
    if len(clusters) < 2:
        return ProbeSet()
    by_solution = labels[list(rows)]
    proposed = refine(
        task.prompt, task.entry_point, tried.probes, by_solution, budget=REFINE_BUDGET, seed=seed
    )
    if not proposed.probes:
        return proposed
    trial = run_probes([programs[int(c[0])] for c in clusters], proposed.probes, sandbox)
    blank = ("",) * len(clusters), (0.0,) * len(clusters)
    kept = choose_distinguishing(
        behaviour_of(Evidence(tuple(trial), *blank)).labels,
        REFINE_KEPT,
        np.array([weight[c].sum() for c in clusters]),
    )
    return ProbeSet(tuple(proposed.probes[i] for i in kept), ("distinguishing",) * len(kept))


def official(task: RecordedTask, programs: Sequence[str], sandbox: Sandbox) -> list[bool]:
    """Return True for each program that passes the official test.

    The results are for scoring only.
    """
    probe = Check(f"{task.check}\n\ncheck({task.entry_point})\n")
    results = run_all(programs, (probe,), sandbox=sandbox, limits=CHECK_LIMITS)
    return [
        result is not None and result.load.status is Status.OK and result.outcomes[0].status is Status.OK
        for result in results
    ]
