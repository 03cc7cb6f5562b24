"""Test `ucoder consensus` on a small recorded file, in the real sandbox."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sandbox.consensus.calibration import shipped
from sandbox.consensus.cli import consensus
from sandbox.errors import SandboxUnavailable

PROMPT = 'def double(x: int) -> int:\n    """Return twice x."""\n'
RIGHT = ["    return 2 * x\n", "    return x + x\n", "    return x * 2\n"]
WRONG = ["    return x\n", "    return x ** 2\n", "    raise ValueError\n", "    while True: pass\n"]
CHECK = "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2\n"


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recorded.jsonl"
    record = {
        "task_id": "own/1",
        "prompt": PROMPT,
        "entry_point": "double",
        "solutions": RIGHT + WRONG,
        "tests": ["\n double(2) == 4\nassert double(3) == 9\nassert ", "double(2) == 4"],
        "check": CHECK,
    }
    path.write_text(json.dumps(record) + "\n")
    return path


@pytest.mark.slow
def test_replay_prints_the_documented_json_and_writes_the_plot(recording, tmp_path):
    plot = tmp_path / "plot.png"
    done = CliRunner().invoke(consensus, ["replay", str(recording), "--json", "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert set(printed) == {"default", "rules"}
    by_name = {row["rule"]: row for row in printed["rules"]}
    assert set(by_name[printed["default"]]) == {
        "rule", "pass_at_1", "precision_25", "precision_50", "coverage", "ece",
    }  # fmt: skip
    assert by_name[printed["default"]]["pass_at_1"] == 1.0
    assert by_name["lowest-perplexity"]["pass_at_1"] == 1.0
    assert plot.read_bytes()[:4] == b"\x89PNG"


def test_replay_without_official_tests_is_an_error(recording):
    record = json.loads(recording.read_text())
    del record["check"]
    recording.write_text(json.dumps(record))
    done = CliRunner().invoke(consensus, ["replay", str(recording)])
    assert done.exit_code == 1
    assert "no official test" in done.output


@pytest.mark.parametrize("command", [["replay"], ["fit", "--out", "/dev/null"]])
def test_recorded_programs_run_in_the_full_jail_only(recording, monkeypatch, command):
    def reduced_isolation(lowest: int) -> int:
        if lowest < 2:
            raise SandboxUnavailable("this host has reduced isolation only")
        return 2

    monkeypatch.setattr("sandbox.tiers.choose_tier", reduced_isolation)
    done = CliRunner().invoke(consensus, [command[0], str(recording), *command[1:]])
    assert done.exit_code == 1
    assert "reduced isolation only" in done.output


def test_unknown_rule_is_named(recording):
    done = CliRunner().invoke(consensus, ["replay", str(recording), "--rule", "nonsense"])
    assert done.exit_code == 1
    assert "There is no rule 'nonsense'" in done.output


def test_fit_writes_parameters_that_reward_agreement(recording, tmp_path):
    """Fit on tasks that most candidates solve: the rule prefers large clusters."""
    record = json.loads(recording.read_text())
    record["solutions"] = RIGHT + WRONG[:-1]  # without the endless one, which costs seconds per task
    lines = [
        json.dumps(record | {"task_id": f"own/{i}", "prompt": PROMPT.replace("twice x", f"twice x ({i})")})
        for i in range(6)
    ]
    recording.write_text("\n".join(lines) + "\n")
    out = tmp_path / "fitted.json"
    done = CliRunner().invoke(consensus, ["fit", str(recording), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Wrote {out}.\n"
    fitted = json.loads(out.read_text())
    assert fitted.keys() == json.loads(shipped().to_json()).keys()
    assert len(fitted["everything"]["weights"]) == len(shipped().everything.weights)
    assert len(fitted["folds"]) == len(shipped().folds)
    assert len(fitted["seen"]) == 6
    assert fitted["everything"]["weights"]["log_texts"] > 0
