"""The development tasks are right and not in a reported benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.pool import Sandbox
from trainer.evaluation.benchmarks import load_benchmark, statements
from trainer.evaluation.evaluate import evaluate_references, reference_results
from trainer.progress import ProgressReporter
from trainer.stages.decontamination import word_shingles

BENCHMARKS = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
DEVELOPMENT = Path(__file__).parents[2] / "benchmarks" / "development.jsonl"
FILES = {"humaneval": "HumanEval.jsonl.gz", "mbppplus": "MbppPlus-v0.1.0.jsonl.gz"}
needs_data = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs ../shared/data/benchmarks")


def development_tasks() -> list[dict[str, str]]:
    files = (DEVELOPMENT, DEVELOPMENT.with_name("development_harder.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_the_solutions_pass_their_own_asserts() -> None:
    tasks = development_tasks()
    assert len({task["task_id"] for task in tasks}) == len(tasks) == 61 + 88
    for task in tasks:
        assert task["assertion"].splitlines()[0] in task["prompt"]
        exec(task["canonical_solution"] + task["assertion"], {})  # written by hand for this project


@needs_data
def test_no_task_is_in_a_reported_benchmark() -> None:
    reported = word_shingles(text for name in FILES.values() for text in statements(BENCHMARKS / name))
    assert [t["task_id"] for t in development_tasks() if word_shingles([t["prompt"]]) & reported] == []


def test_references_are_judged_right_and_constant_programs_wrong() -> None:
    tasks = load_benchmark("mbppplus", DEVELOPMENT)
    with Sandbox(lowest_tier=1) as sandbox:
        report = evaluate_references(tasks, sandbox, ProgressReporter())
        results = reference_results(tasks, sandbox, ProgressReporter())
    assert [score.task for score in report.scores if not score.passed] == []
    for task in tasks:
        assert len({outcome.value for outcome in results[task.id]}) > 1, task.id
