"""`ucoder eval`: the judging, the report, and the command on real files."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner

from benchmarks import arms
from sandbox.outcome import JobResult
from sandbox.pool import Sandbox
from sandbox.program import Call, Job
from trainer.errors import BaseModelError
from trainer.evaluation import cli as evaluate_cli
from trainer.evaluation.cli import evaluate_command
from trainer.evaluation.evaluate import (
    By,
    Report,
    TaskScore,
    evaluate,
    evaluate_references,
    judged,
    reference_results,
)
from trainer.evaluation.humaneval import Task, load_benchmark, statements
from trainer.evaluation.mbpp_inputs import typed_inputs
from trainer.evaluation.oracles import Oracle
from trainer.progress import ProgressReporter
from trainer.run.store import Store
from trainer.sampling.answers import extract_function
from trainer.sampling.engines import Engines
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from trainer.stages.decontamination import word_shingles
from ucoder_lsp.engine.engine import Engine

BENCHMARKS = Path(__file__).parents[4] / "shared" / "data" / "benchmarks"
DEVELOPMENT = Path(__file__).parents[3] / "benchmarks" / "development.jsonl"
FILES = {"humaneval": "HumanEval.jsonl.gz", "mbppplus": "MbppPlus-v0.1.0.jsonl.gz"}
needs_data = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs ../shared/data/benchmarks")


def test_json_inputs_get_the_types_of_the_asserts() -> None:
    (inputs,) = typed_inputs("f", "assert f((1, 2), {3}, [4], 'a') == 5", [[[7, 8], [9], [6], "12"]], [])
    assert inputs == [(7, 8), {9}, [6], "12"]
    assert typed_inputs("f", "assert f(0, 1j) == 5", [["2", "2+1j"]], []) == [[2, 2 + 1j]]


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate_command, [str(tmp_path / "no.jsonl"), "--benchmark", "humaneval"])
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    result = CliRunner().invoke(evaluate_command, [str(tmp_path / "other.jsonl"), "--benchmark", "humaneval"])
    assert result.exit_code == 2
    assert "is no humaneval file" in result.stderr


def development_tasks() -> list[dict[str, str]]:
    files = (DEVELOPMENT, DEVELOPMENT.with_name("development_harder.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_the_development_tasks_say_what_their_solutions_do() -> None:
    tasks = development_tasks()
    assert len({task["task_id"] for task in tasks}) == len(tasks) == 61 + 88
    for task in tasks:
        assert task["assertion"].splitlines()[0] in task["prompt"]
        exec(task["canonical_solution"] + task["assertion"], {})  # ours, by hand


@needs_data
def test_the_development_tasks_are_in_no_benchmark() -> None:
    reported = word_shingles(text for name in FILES.values() for text in statements(BENCHMARKS / name))
    assert [t["task_id"] for t in development_tasks() if word_shingles([t["prompt"]]) & reported] == []


@pytest.mark.parametrize("target", ["nowhere/out.json", "device"])
def test_a_report_that_cannot_be_written_is_refused_before_measuring(tmp_path: Path, target: str) -> None:
    (tmp_path / "device").symlink_to("/dev/null")  # a report is renamed into place, and a device is no place
    options = [str(DEVELOPMENT), "--benchmark", "mbppplus", "--reference", "--json", str(tmp_path / target)]
    result = CliRunner().invoke(evaluate_command, options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, "no progress of a measurement"


def test_a_disk_that_fills_up_leaves_the_figures_and_the_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(evaluate_cli, "write_atomically", full)
    out = tmp_path / "out.json"
    out.write_text("{}")
    options = [str(DEVELOPMENT), "--benchmark", "mbppplus", "--limit", "1", "--reference", "--json", str(out)]
    result = CliRunner().invoke(evaluate_command, options)
    assert result.exit_code == 2
    assert "pass@1" in result.stdout
    assert f"Error: No space left for {out}" in result.stderr
    assert out.read_text() == "{}"


def test_a_measurement_belongs_to_its_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark of the arms finds a report again only under the version it was made of, and only a whole one."""
    measured: list[str] = []

    def ucoder(command: list[str], **_: object) -> None:
        version = command[command.index("--adapter") + 1] if "--adapter" in command else "base"
        measured.append(version)
        report = {"of": version, **dict.fromkeys(arms.SAID)}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(report))

    monkeypatch.setattr(arms.subprocess, "run", ucoder)
    (tmp_path / "0002-bb-mbppplus-greedy.json").write_text('{"of": "an earlier version", "chosen": null}')
    for version in ("0001-aa", "0002-bb", None, "0001-aa"):
        arm = "consensus" if version else "base"
        report = arms.measured(tmp_path, arm, version, "mbppplus", DEVELOPMENT, "greedy")
        assert report is not None
        assert report["of"] == (version or "base")
    assert measured == ["0001-aa", "0002-bb", "base"]


def test_answers_cannot_be_kept_where_none_are_sampled(tmp_path: Path) -> None:
    options = [str(tmp_path / "no.jsonl"), "--benchmark", "humaneval", "--reference", "--keep", str(tmp_path)]
    result = CliRunner().invoke(evaluate_command, options)
    assert result.exit_code == 2
    assert "leave one out" in result.stderr


class Stopping(Sampler):
    """Plays a model that is stopped when it is asked for the second time."""

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


def test_a_measurement_that_was_stopped_goes_on_from_its_answers(tmp_path: Path) -> None:
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


def said(*texts: str) -> list[Sample]:
    return [Sample(text, 0.0, finished=True) for text in texts]


class Recording(Sandbox):
    """A sandbox that notes how many inputs each program was asked."""

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        self.asked = [*getattr(self, "asked", []), *((j.program.source, len(j.probes)) for j in jobs)]
        return super().run(jobs)


def test_who_is_wrong_early_is_not_asked_further_and_who_is_right_answers_everything() -> None:
    reference = "def f(x):\n    return 10 // x + (x == 30)\n"  # no value for the first input: it says nothing
    always, late, early = (
        reference.replace("==", "  =="),
        "def f(x):\n    return 10 // x\n",
        "def f(x): pass\n",
    )
    inputs = tuple(Call("f", (x,)) for x in range(31))
    task = Task("a", "Task a", "solve_sentence", "f", "", reference, inputs, Oracle.EQUAL)
    with Recording(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        sandbox.asked = []
        score = judged(task, said("Sorry.", early, late, always, always, early), sandbox, expected)
    assert (score.passed, score.n, score.extracted, score.passed_own) == (2, 6, 5, 2)
    assert score.passed_first == 0  # what nobody knows is passed by nobody
    asked = {
        source: [n for program, n in sandbox.asked if program == extract_function(source, "f")]
        for source in (early, late, always)
    }
    assert asked == {early: [2], late: [2, 9, 31], always: [2, 9, 31]}


def test_the_first_input_mbpps_own_and_those_that_were_added_are_judged_apart() -> None:
    reference = "def f(x):\n    return x * x\n"
    own_only = "def f(x):\n    return x * x if x < 4 else 0\n"
    first_only = "def f(x):\n    return x + x\n"
    inputs = tuple(Call("f", (x,)) for x in (2, 3, 4, 5))
    task = Task("a", "Task a", "solve_sentence", "f", "", reference, inputs, Oracle.EQUAL, n_own=2)
    other = replace(task, id="b", statement="Task b", n_own=None)
    script = SimpleNamespace(engines=range(1), chat=str)
    answers = [own_only, reference, first_only, own_only]
    script.sample_once = lambda *_: said(*answers)
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
    said_as_json = found.to_json()
    assert said_as_json["pass_at_own"]["1"]["value"] == 0.5
    assert said_as_json["pass_at_first"]["1"]["value"] == 1.0


def test_a_task_whose_own_inputs_the_reference_does_not_answer_is_solved_by_nobody_there() -> None:
    source = "def f(x):\n    return 1 // x\n"
    inputs = (Call("f", (0,)), Call("f", (1,)))
    task = Task("a", "Task a", "solve_sentence", "f", "", source, inputs, Oracle.EQUAL, n_own=1)
    with Sandbox(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        score = judged(task, said(source), sandbox, expected)
    assert (score.passed, score.passed_own, score.passed_first) == (1, 0, 0)


@pytest.mark.parametrize("added", [True, False])
def test_the_figures_by_fewer_inputs_are_shown_where_they_differ(
    added: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tuple(TaskScore(f"{i}", i % 2, 10, 10, i % 2 + added, i % 2 + 2 * added) for i in range(20))
    evaluate_cli._show(Report(scores, 10, 0.8), "mbppplus")
    shown = capsys.readouterr().out
    assert ("  15.0%" in shown and "by MBPP's own inputs alone" in shown) is added
    assert ("  25.0%" in shown and "by the first of them alone" in shown) is added
    assert "pass@1      5.0%" in shown
    assert "chosen" not in shown


def test_what_consensus_chooses_of_the_samples_is_shown_beside_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = tuple(TaskScore(f"{i}", 1, 10, 10, 2, 3, chosen=i < 5, chosen_own=i < 8) for i in range(20))
    report = Report(scores, 10, 0.8)
    evaluate_cli._show(report, "mbppplus")
    shown = capsys.readouterr().out
    assert "chosen     25.0%" in shown
    assert " 40.0%" in shown
    assert "of each task's 10 samples the one that consensus chooses" in shown
    said_as_json = report.to_json()
    assert (said_as_json["chosen"]["value"], said_as_json["chosen_own"]["value"]) == (0.25, 0.4)
    assert Report((TaskScore("a", 1, 1, 1, 1, 1),), 1, 0.0).to_json()["chosen"] is None


def test_a_task_whose_reference_answers_nothing_is_solved_by_nobody() -> None:
    source = "def f(x):\n    return 1 // x\n"
    task = Task("a", "Task a", "solve_sentence", "f", "", source, (Call("f", (0,)),), Oracle.EQUAL)
    with Sandbox(lowest_tier=1) as sandbox:
        expected = reference_results([task], sandbox, ProgressReporter())["a"]
        assert judged(task, said(source), sandbox, expected).passed == 0


def test_the_tasks_to_develop_on_are_right_and_constant_answers_fail_them() -> None:
    tasks = load_benchmark("mbppplus", DEVELOPMENT)
    with Sandbox(lowest_tier=1) as sandbox:
        report = evaluate_references(tasks, sandbox, ProgressReporter())
        results = reference_results(tasks, sandbox, ProgressReporter())
    assert [score.task for score in report.scores if not score.passed] == []
    for task in tasks:
        assert len({outcome.value for outcome in results[task.id]}) > 1, task.id


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("benchmark", FILES)
def test_reference_solutions_reach_100_percent(benchmark: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = [
        str(BENCHMARKS / FILES[benchmark]),
        "--benchmark",
        benchmark,
        "--reference",
        "--json",
        str(out),
    ]
    result = CliRunner().invoke(evaluate_command, arguments)
    assert result.exit_code == 0, result.output
    scores = json.loads(out.read_text())["tasks"]
    assert [score["task"] for score in scores if not score["passed"]] == []
    assert len(scores) == {"humaneval": 164, "mbppplus": 399}[benchmark]


@needs_data
@pytest.mark.slow
def test_the_embedded_model_is_sampled_and_judged(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = [str(BENCHMARKS / FILES["humaneval"]), "--benchmark", "humaneval", "--limit", "2", "--samples", "2",
                 "--max-tokens", "128", "--json", str(out)]  # fmt: skip
    result = CliRunner().invoke(evaluate_command, arguments)
    assert result.exit_code == 0, result.output
    assert "pass@1" in result.output
    assert [score["n"] for score in json.loads(out.read_text())["tasks"]] == [2, 2]
