"""Test that the replay table of recorded samples does not change.

Inputs, signatures and rules decide the table together. Only the first tasks of the recorded file are replayed, since
all 82 take minutes (`ucoder consensus replay`, docs/consensus.md).
After an intended change, write the new table with `python -m tests.sandbox.test_golden_replay`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sandbox.consensus.evaluation import evaluate
from sandbox.consensus.replay import load, replay
from sandbox.consensus.rules import RULES
from sandbox.limits import Limits
from sandbox.pool import Sandbox

NAME = Path("shared/data/replay/humaneval-codegen16b-even.jsonl.gz")
RECORDED = next((p / NAME for p in Path(__file__).resolve().parents if (p / NAME).is_file()), None)
GOLDEN = Path(__file__).with_name("golden_replay.json")
N_TASKS = 8

PATIENT = Limits(probe_wall_s=1.0, job_wall_s=5.0, cpu_s=6)
"""Limits for a busy machine: the table must not depend on which candidate happened to be slow."""


def table() -> list[dict[str, object]]:
    assert RECORDED is not None
    with Sandbox(lowest_tier=1) as sandbox:
        return [
            result.as_dict() for result in evaluate(list(replay(load(RECORDED)[:N_TASKS], sandbox)), RULES)
        ]


@pytest.mark.slow
@pytest.mark.skipif(RECORDED is None, reason="../shared/data/replay is not on this machine")
def test_the_replay_table_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.consensus.replay.PROBE_LIMITS", PATIENT)
    assert table() == json.loads(GOLDEN.read_text("utf-8"))


if __name__ == "__main__":
    pytest.MonkeyPatch().setattr("sandbox.consensus.replay.PROBE_LIMITS", PATIENT)
    GOLDEN.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
    sys.stdout.write(f"Wrote {GOLDEN}.\n")
