"""A finished run on disk, for the tests of what reads one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from trainer.profile import PROFILES
from trainer.run.store import digest

WHOLE: dict[str, dict[str, object]] = {
    "run.json": {
        "profile": asdict(PROFILES["tiny"]),
        "base": "embedded",
        "model_id": "m",
        "excluded": digest([]),
        "qlora": False,
        "nights": 2,
    },
    "progress.json": {"stage": "tests", "done": 1, "total": 2, "note": ""},
    "consensus/result.json": {
        "version": None,
        "served": False,
        "verdict": {
            "base": {"value": 0.5, "low": 0.4, "high": 0.6},
            "adapter": {"value": 0.5, "low": 0.4, "high": 0.6},
            "gain": {"value": 0.0, "low": -0.1, "high": 0.1},
            "problems": 9,
        },
        "nights": 2,
        "programs": 1,
        "examples": 3,
        "learned": 1,
        "rehearsed": 5,
        "dataset_sha256": "0",
        "own_answers_sha256": None,
        "report": "r.html",
    },
}
"""The JSON files of a finished run of two nights, as release 0.1.0 writes them."""


def write_run(run: Path, **changed: str) -> None:
    """Write the files of a finished run, some with `changed` texts."""
    for relative, whole in WHOLE.items():
        (run / relative).parent.mkdir(parents=True, exist_ok=True)
        (run / relative).write_text(changed.get(relative, json.dumps(whole)), "utf-8")
