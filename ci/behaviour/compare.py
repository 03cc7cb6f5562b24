"""Compare changed functions on the same inputs, in base and every patch.

A patch cannot forge this check: the functions run in the sandbox, and their values come out as canonical
data. No process inside holds what they are compared with. An input counts only when base gives the same
result in five runs under two hash seeds.

Not covered: callers in other modules; effects on files or the network, which the sandbox lacks; code that
behaves well only on inputs like these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from ci.behaviour.bundle import BundleError, Tree, bundle
from ci.behaviour.plan import (
    ChangedFunction,
    ComparisonPlan,
    ProbeInput,
    distinguishing_inputs,
    first_inputs,
)
from ci.verdict import Observation
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.program import Job, Program
from sandbox.stability import mark_unstable

Runner = Callable[[Sequence[Job]], Sequence[JobResult]]

BASE_RUNS = 5
PROBES_PER_JOB = 12
"""Few, because the sandbox gives up on a job after a handful of its probes have ended the process."""

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=20.0, cpu_s=20, memory_bytes=1024 * MIB)
_WRONG_INPUT = ("TypeError", "AttributeError")
"""Exceptions of base on an input that it was never meant for. Dropped if every patch raises too."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Observations of base and of every patch on the inputs kept.

    `base` and each of `patches` have one per input.
    """

    inputs: tuple[str, ...]
    base: tuple[Observation, ...]
    patches: Mapping[int, tuple[Observation, ...]]
    gaps: tuple[str, ...]
    """Changed functions that no kept input reached."""
    dropped: int
    """Number of inputs left out: base is unstable on them, or the function is not meant for them."""
    forged: Mapping[int, str]
    """Patches that wrote to the sandbox's own result channel."""
    infra: str = ""
    """Set when the sandbox itself failed: then the other fields mean nothing."""


@dataclass(frozen=True, slots=True)
class _TreeRuns:
    """Several runs of the same inputs in one tree."""

    observations: list[Observation]
    """One per input; unstable where the runs differ."""
    forged: bool
    infra: str


def compare_behaviour(
    plan: ComparisonPlan,
    base: Tree,
    patched: Mapping[int, Tree],
    tests: Sequence[str],
    runners: Sequence[Runner],
) -> Comparison:
    """Run the plan in base and in every patch.

    `runners` (at least one) run jobs under different hash seeds. `tests` are the texts of base's own tests:
    their asserts are examples of calls.
    """
    # 1. The same inputs for every program; after a first look, more where the programs differ.
    inputs = first_inputs(plan, tests)
    look = [_run(inputs, tree, runners[:1]).observations for tree in (base, *patched.values())]
    inputs += distinguishing_inputs(plan, inputs, look)

    # 2. Base five times, every patch once under each hash seed.
    of_base = _run(inputs, base, [runners[turn % len(runners)] for turn in range(BASE_RUNS)])
    of_patches = {i: _run(inputs, tree, runners) for i, tree in patched.items()}

    # 3. Keep the inputs that distinguish right from wrong.
    known = of_base.observations
    seen = {i: runs.observations for i, runs in of_patches.items()}
    keep = [
        j
        for j, one in enumerate(inputs)
        if _is_informative(one.function, known[j], [row[j] for row in seen.values()])
    ]
    reached = {
        inputs[j].function.name
        for j in keep
        if _has_value(known[j]) or any(_has_value(row[j]) for row in seen.values())
    }
    return Comparison(
        inputs=tuple(f"{inputs[j].function.module}: {inputs[j].text}" for j in keep),
        base=tuple(known[j] for j in keep),
        patches={i: tuple(row[j] for j in keep) for i, row in seen.items()},
        gaps=tuple(name for name, shown in plan.shown_by.items() if not shown & reached),
        dropped=len(inputs) - len(keep),
        forged={
            i: "it wrote to the sandbox's result channel" for i, runs in of_patches.items() if runs.forged
        },
        infra=next((runs.infra for runs in (of_base, *of_patches.values()) if runs.infra), ""),
    )


def _run(inputs: Sequence[ProbeInput], tree: Tree, runners: Sequence[Runner]) -> _TreeRuns:
    """Run every input in one tree with each runner; merge the runs."""
    observations: dict[int, Observation] = {}
    jobs: list[Job] = []
    job_inputs: list[list[int]] = []
    for module in dict.fromkeys(one.function.module for one in inputs):
        numbers = [j for j, one in enumerate(inputs) if one.function.module == module]
        try:
            program = Program(bundle(tree, module))
        except BundleError as error:
            observations |= dict.fromkeys(numbers, Observation("absent", shown=str(error)))
            continue
        for start in range(0, len(numbers), PROBES_PER_JOB):
            chunk = numbers[start : start + PROBES_PER_JOB]
            jobs.append(Job(program, tuple(inputs[j].probe for j in chunk), LIMITS))
            job_inputs.append(chunk)

    runs = [run(jobs) for run in runners]
    merged: Sequence[JobResult] = reduce(mark_unstable, runs)
    for chunk, result in zip(job_inputs, merged, strict=True):
        for j, outcome in zip(chunk, result.outcomes, strict=True):
            observations[j] = _observation(outcome, inputs[j].text)
    every = [
        (outcome, inputs[j].text)
        for results in runs
        for chunk, result in zip(job_inputs, results, strict=True)
        for j, outcome in zip(chunk, result.outcomes, strict=True)
    ]
    return _TreeRuns(
        observations=[observations[j] for j in range(len(inputs))],
        forged=any(outcome.status is Status.PROTOCOL for outcome, _ in every),
        infra=next(
            (_observation(outcome, text).shown for outcome, text in every if outcome.status is Status.INFRA),
            "",
        ),
    )


def _observation(outcome: Outcome, text: str) -> Observation:
    """Convert an outcome to its value and printed text, or its failure."""
    short = text if len(text) <= 60 else text[:59] + "…"
    if outcome.status is Status.OK and outcome.value is not None:
        printed = outcome.stdout.encode("utf-8", "surrogatepass")
        value = len(printed).to_bytes(8, "big") + printed + outcome.value.canonical
        shown = f"{short} gives {outcome.value.text(60)}"
        found = Observation("ok", value, not outcome.value.opaque, shown)
    elif outcome.status is Status.EXCEPTION:
        shown = f"{short} raises {outcome.exception}"
        found = Observation("exception", outcome.exception.encode(), shown=shown)
    else:
        shown = f"{short} ends as {outcome.status} {outcome.message}".rstrip()
        found = Observation(str(outcome.status), shown=shown)
    if outcome.unstable and found.comparable:
        return Observation("unstable", comparable=False, shown=f"{found.shown}, but not every time")
    return found


def _is_informative(function: ChangedFunction, known: Observation, seen: Sequence[Observation]) -> bool:
    """Return True if an input shows anything about the patches.

    `known` is base's observation, `seen` those of the patches.
    """
    if not function.in_base:
        return any(_has_value(one) for one in seen)
    if not known.comparable or known.status not in ("ok", "exception"):
        return False
    misused = known.status == "exception" and known.value.decode("utf-8", "replace") in _WRONG_INPUT
    return not (misused and all(one.status == "exception" for one in seen))


def _has_value(seen: Observation) -> bool:
    return seen.status == "ok" and seen.comparable
