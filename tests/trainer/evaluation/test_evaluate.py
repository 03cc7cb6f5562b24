"""Sampling and judging: what counts as right, what runs, and what an interrupted measurement keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sandbox.outcome import JobResult
from sandbox.pool import Sandbox
from sandbox.program import Call, Job
from trainer.errors import BaseModelError
from trainer.evaluation.evaluate import (
    By,
    evaluate,
    evaluate_references,
    judged,
    reference_results,
)
from trainer.evaluation.oracles import Oracle
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from trainer.run.store import Store
from trainer.sampling.answers import extract_function
from trainer.sampling.engines import Engines
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from ucoder_lsp.engine.engine import Engine


class Stopping(Sampler):
    """A model that is interrupted at its second request."""

    def __init__(self, answer: str) -> None:
        self.engines = Engines(cast("list[Engine]", [SimpleNamespace(model_id="played", chat_template=None)]))
        self.adapter = None
        self.answer = answer
        self.asked: list[str] = []

    def sample(self, prompt: Prompt, draw: Draw, stop: object = None) -> list[Sample]:
        if len(self.asked) == 1:
            raise BaseModelError("Sampling was stopped.")
        self.asked.append(prompt.text)
        return [Sample(self.answer, -1.0, True)] * draw.n


def test_an_interrupted_measurement_resumes_from_its_answers(tmp_path: Path) -> None:
    source = "def f(x):\n    return x\n"
    tasks = [
        Task(name, f"Task {name}", "solve_sentence", "f", "", source, (Call("f", (1,)),), Oracle.EQUAL)
        for name in "ab"
    ]
    draw, store = Draw(2, 16, 0.8, 0), Store(tmp_path)
    first, second = Stopping(source), Stopping("no program")
    with Sandbox(lowest_tier=1) as sandbox:
        with pytest.raises(BaseModelError, match="stopped"):
            evaluate(tasks, first, sandbox, draw, store, ProgressReporter())
        report = evaluate(tasks, second, sandbox, draw, store, ProgressReporter())
    assert [("Task a" in text, "Task b" in text) for text in [*first.asked, *second.asked]] == [
        (True, False), (False, True)
    ]  # fmt: skip
    assert [(score.task, score.passed, score.n) for score in report.scores] == [("a", 2, 2), ("b", 0, 2)]


def samples_of(*texts: str) -> list[Sample]:
    return [Sample(text, 0.0, finished=True) for text in texts]


class Recording(Sandbox):
    """A sandbox that records on how many inputs each program runs."""

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        self.ran = [*getattr(self, "ran", []), *((j.program.source, len(j.probes)) for j in jobs)]
        return super().run(jobs)


def test_a_wrong_program_stops_early_and_a_right_one_runs_on_all_inputs() -> None:
    reference = (
        "def f(x):\n    return 10 // x + (x == 30)\n"  # no value for the first input, which is ignored
    )
    always, late, early = (
        reference.replace("==", "  =="),
        "def f(x):\n    return 10 // x\n",
        "def f(x): pass\n",
    )
    inputs = tuple(Call("f", (x,)) for x in range(31))
    task = Task("a", "Task a", "solve_sentence", "f", "", reference, inputs, Oracle.EQUAL)
    with Recording(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        sandbox.ran = []
        score = judged(task, samples_of("Sorry.", early, late, always, always, early), sandbox, expected)
    assert (score.passed, score.n, score.extracted, score.passed_own) == (2, 6, 5, 2)
    assert score.passed_first == 0  # the reference has no value there, so no program passes
    sizes = {
        source: [n for program, n in sandbox.ran if program == extract_function(source, "f")]
        for source in (early, late, always)
    }
    assert sizes == {early: [2], late: [2, 9, 31], always: [2, 9, 31]}


def test_first_own_and_all_inputs_are_judged_separately() -> None:
    reference = "def f(x):\n    return x * x\n"
    own_only = "def f(x):\n    return x * x if x < 4 else 0\n"
    first_only = "def f(x):\n    return x + x\n"
    inputs = tuple(Call("f", (x,)) for x in (2, 3, 4, 5))
    task = Task("a", "Task a", "solve_sentence", "f", "", reference, inputs, Oracle.EQUAL, n_own=2)
    other = replace(task, id="b", statement="Task b", n_own=None)
    script = SimpleNamespace(engines=range(1), chat=str)
    answers = [own_only, reference, first_only, own_only]
    script.sample_once = lambda *_: samples_of(*answers)
    with Sandbox(lowest_tier=1) as sandbox:
        found = evaluate(
            [task, other],
            cast(Sampler, script),
            sandbox,
            Draw(4, 64, 0.8, 0),
            Store(Path()),
            ProgressReporter(),
        )
        references = evaluate_references([task, other], sandbox, ProgressReporter())
    passed = [
        [(s.passed, s.passed_own, s.passed_first) for s in report.scores] for report in (found, references)
    ]
    assert passed == [[(1, 3, 4), (1, 1, 4)], [(1, 1, 1), (1, 1, 1)]]
    assert [found.pass_at(1, by).value for by in (By.ALL, By.OWN, By.FIRST)] == [0.25, 0.5, 1.0]
    as_json = found.to_json()
    assert as_json["pass_at_own"]["1"]["value"] == 0.5
    assert as_json["pass_at_first"]["1"]["value"] == 1.0


def test_own_inputs_without_a_reference_value_are_passed_by_no_program() -> None:
    source = "def f(x):\n    return 1 // x\n"
    inputs = (Call("f", (0,)), Call("f", (1,)))
    task = Task("a", "Task a", "solve_sentence", "f", "", source, inputs, Oracle.EQUAL, n_own=1)
    with Sandbox(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        score = judged(task, samples_of(source), sandbox, expected)
    assert (score.passed, score.passed_own, score.passed_first) == (1, 0, 0)


def test_a_task_without_reference_values_is_passed_by_no_program() -> None:
    source = "def f(x):\n    return 1 // x\n"
    task = Task("a", "Task a", "solve_sentence", "f", "", source, (Call("f", (0,)),), Oracle.EQUAL)
    with Sandbox(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        assert judged(task, samples_of(source), sandbox, expected).passed == 0
