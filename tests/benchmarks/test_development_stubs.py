"""The development stubs are right, refuse wrong answers and are not in a reported benchmark."""

from __future__ import annotations

import ast
import doctest
import json
from pathlib import Path

import pytest

from sandbox.outcome import Status
from sandbox.pool import Sandbox
from trainer.evaluation.benchmarks import load_benchmark, statements
from trainer.evaluation.evaluate import evaluate_references, reference_results
from trainer.progress import ProgressReporter
from trainer.stages.decontamination import word_shingles

BENCHMARKS = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
FOLDER = Path(__file__).parents[2] / "benchmarks"
STUBS = FOLDER / "development_stubs.jsonl"
FILES = ("HumanEval.jsonl.gz", "MbppPlus-v0.1.0.jsonl.gz")
needs_data = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs ../shared/data/benchmarks")


def rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_names_are_unique_among_all_development_tasks() -> None:
    stubs = rows(STUBS)
    files = (STUBS, FOLDER / "development.jsonl", FOLDER / "development_harder.jsonl")
    names = [row["entry_point"] for file in files for row in rows(file)]
    assert len(set(names)) == len(names)
    assert [row["task_id"] for row in stubs] == [f"stub/{row['entry_point']}" for row in stubs]


def test_every_task_has_a_stub_and_eight_to_twenty_asserts() -> None:
    for row in rows(STUBS):
        stub = ast.parse(row["prompt"]).body[-1]
        assert isinstance(stub, ast.FunctionDef)
        assert stub.name == row["entry_point"]
        assert ast.get_docstring(stub)
        assert len(stub.body) == 1, "the prompt ends with the docstring"
        asserts = [node for node in ast.walk(ast.parse(row["test"])) if isinstance(node, ast.Assert)]
        assert 8 <= len(asserts) <= 20, row["task_id"]


def test_the_references_pass_in_the_sandbox() -> None:
    tasks = load_benchmark("humaneval", STUBS)
    with Sandbox(lowest_tier=1) as sandbox:
        report = evaluate_references(tasks, sandbox, ProgressReporter())
    assert [score.task for score in report.scores if not score.passed] == []


def test_an_answer_that_is_always_the_same_is_refused(tmp_path: Path) -> None:
    """Each value that a test expects is returned for every input: no test accepts it."""
    wrong = tmp_path / "wrong.jsonl"
    with wrong.open("w", encoding="utf-8") as out:
        for row in rows(STUBS):
            compared = [n for n in ast.walk(ast.parse(row["test"])) if isinstance(n, ast.Compare)]
            answers = {ast.unparse(n.comparators[0]) for n in compared} | {"None"}
            for number, answer in enumerate(sorted(answers)):
                row |= {
                    "task_id": f"{row['entry_point']}/{number}",
                    "canonical_solution": f"    return {answer}\n",
                }
                out.write(json.dumps(row) + "\n")
    tasks = load_benchmark("humaneval", wrong)
    with Sandbox(lowest_tier=1) as sandbox:
        results = reference_results(tasks, sandbox, ProgressReporter())
    assert [task for task, (outcome,) in results.items() if outcome.status is Status.OK] == []


def test_the_examples_of_the_docstrings_hold() -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for row in rows(STUBS):
        scope: dict[str, object] = {}
        exec(row["prompt"] + row["canonical_solution"], scope)  # written by hand for this project
        text = getattr(scope[row["entry_point"]], "__doc__", "")
        runner.run(parser.get_doctest(text, scope, row["task_id"], None, None))
    assert runner.tries > 100
    assert runner.failures == 0


@needs_data
def test_no_stub_is_in_a_reported_benchmark() -> None:
    reported = word_shingles(text for file in FILES for text in statements(BENCHMARKS / file))
    assert [row["task_id"] for row in rows(STUBS) if word_shingles([row["prompt"]]) & reported] == []
