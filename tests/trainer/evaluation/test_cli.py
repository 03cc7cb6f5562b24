"""`ucoder eval`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from trainer.evaluation import cli as evaluate_cli
from trainer.evaluation.cli import evaluate_command
from trainer.evaluation.evaluate import (
    Report,
    TaskScore,
)

BENCHMARKS = Path(__file__).parents[4] / "shared" / "data" / "benchmarks"
DEVELOPMENT = Path(__file__).parents[3] / "benchmarks" / "development.jsonl"
FILES = {"humaneval": "HumanEval.jsonl.gz", "mbppplus": "MbppPlus-v0.1.0.jsonl.gz"}
needs_data = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs ../shared/data/benchmarks")


def test_a_missing_or_wrong_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate_command, [str(tmp_path / "no.jsonl"), "--benchmark", "humaneval"])
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    result = CliRunner().invoke(evaluate_command, [str(tmp_path / "other.jsonl"), "--benchmark", "humaneval"])
    assert result.exit_code == 2
    assert "is not a humaneval file" in result.stderr


def test_answers_cannot_be_kept_when_none_are_sampled(tmp_path: Path) -> None:
    options = [str(tmp_path / "no.jsonl"), "--benchmark", "humaneval", "--reference", "--keep", str(tmp_path)]
    result = CliRunner().invoke(evaluate_command, options)
    assert result.exit_code == 2
    assert "leave one out" in result.stderr


@pytest.mark.parametrize("target", ["nowhere/out.json", "device"])
def test_a_report_that_cannot_be_written_is_refused_before_measuring(tmp_path: Path, target: str) -> None:
    (tmp_path / "device").symlink_to(
        "/dev/null"
    )  # a report is renamed into place, which would replace a device
    options = [str(DEVELOPMENT), "--benchmark", "mbppplus", "--reference", "--json", str(tmp_path / target)]
    result = CliRunner().invoke(evaluate_command, options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, "not even progress of a measurement"


def test_a_full_disk_loses_neither_the_figures_nor_the_earlier_report(
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


@pytest.mark.parametrize("added", [True, False])
def test_figures_by_fewer_inputs_are_shown_where_they_differ(
    added: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tuple(TaskScore(f"{i}", i % 2, 10, 10, i % 2 + added, i % 2 + 2 * added) for i in range(20))
    evaluate_cli._show(Report(scores, 10, 0.8), "mbppplus")
    shown = capsys.readouterr().out
    assert ("  15.0%" in shown and "by MBPP's own inputs alone" in shown) is added
    assert ("  25.0%" in shown and "by the first of them alone" in shown) is added
    assert "pass@1      5.0%" in shown
    assert "chosen" not in shown


def test_the_share_of_right_choices_is_shown_beside_pass_at_k(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = tuple(TaskScore(f"{i}", 1, 10, 10, 2, 3, chosen=i < 5, chosen_own=i < 8) for i in range(20))
    report = Report(scores, 10, 0.8)
    evaluate_cli._show(report, "mbppplus")
    shown = capsys.readouterr().out
    assert "chosen     25.0%" in shown
    assert " 40.0%" in shown
    assert "of each task's 10 samples the one that consensus chooses" in shown
    as_json = report.to_json()
    assert (as_json["chosen"]["value"], as_json["chosen_own"]["value"]) == (0.25, 0.4)
    assert Report((TaskScore("a", 1, 1, 1, 1, 1),), 1, 0.0).to_json()["chosen"] is None


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
