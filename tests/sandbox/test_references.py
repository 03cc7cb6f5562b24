"""Test the reference solutions of three public benchmarks.

They must pass the tests of their benchmark, through the public interface.

The data are not part of this project: the tests need `../shared/data/benchmarks` and skip without it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Program
from sandbox.values import Value

NAME = Path("data/benchmarks")
PLACES = [parent / "shared" / NAME for parent in Path(__file__).resolve().parents]
BENCHMARKS = next((place for place in PLACES if place.is_dir()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BENCHMARKS is None, reason="../shared/data/benchmarks is not on this machine"),
]

PATIENT = Limits(probe_wall_s=120, job_wall_s=900, cpu_s=900, memory_bytes=4 << 30, result_bytes=1 << 22)


def rows(name: str) -> list[dict[str, Any]]:
    assert BENCHMARKS is not None
    file = BENCHMARKS / name
    data = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
    return [json.loads(line) for line in data.splitlines() if line.strip()]


def test_all_reference_solutions_of_humaneval_pass_their_check(tier_1: Sandbox) -> None:
    tasks = rows("HumanEval.jsonl.gz")
    assert len(tasks) == 164
    jobs = [
        Job(
            Program(t["prompt"] + t["canonical_solution"] + "\n" + t["test"]),
            (Check(f"check({t['entry_point']})"),),
            PATIENT,
        )
        for t in tasks
    ]
    results = zip(tasks, tier_1.run(jobs), strict=True)
    failed = {t["task_id"]: r.outcomes[0] for t, r in results if r.outcomes[0].status is not Status.OK}
    assert failed == {}


def test_all_functions_of_cruxeval_give_their_output(tier_1: Sandbox) -> None:
    tasks = rows("cruxeval.jsonl")
    assert len(tasks) == 800
    jobs = [
        Job(Program(t["code"]), (Expression(f"f({t['input']}) == ({t['output']})"),), PATIENT) for t in tasks
    ]
    outcomes = [result.outcomes[0] for result in tier_1.run(jobs)]
    failed = {t["id"]: o for t, o in zip(tasks, outcomes, strict=True) if o.value != Value.of(True)}
    assert failed == {}


# Named in the data's own README: three lack `import math`, two need oracles of their own.
LACK_MATH = {"Mbpp/120", "Mbpp/442", "Mbpp/574"}
OWN_ORACLE = {"Mbpp/164", "Mbpp/295"}


def test_reference_solutions_of_mbpp_plus_pass_their_asserts(tier_1: Sandbox) -> None:
    tasks = [t for t in rows("MbppPlus-v0.1.0.jsonl.gz") if t["task_id"] not in OWN_ORACLE]
    assert len(tasks) == 397
    jobs = []
    for t in tasks:
        source = t["canonical_solution"]
        if t["task_id"] in LACK_MATH:
            source = "import math\n" + source
        calls = tuple(Call(t["entry_point"], tuple(args)) for args in (*t["base_input"], *t["plus_input"]))
        jobs.append(Job(Program(source), (Check(t["assertion"]), *calls), PATIENT))
    failed = {}
    for t, result in zip(tasks, tier_1.run(jobs), strict=True):
        if result.outcomes[0].status is not Status.OK:
            failed[t["task_id"]] = result.outcomes[0]
        broken = [o for o in result.outcomes if o.status not in (Status.OK, Status.EXCEPTION, Status.OUTPUT)]
        if broken:
            failed[t["task_id"]] = broken[0]
    assert failed == {}
