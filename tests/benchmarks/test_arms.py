"""The comparison of arms measures each adapter version once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import arms

DEVELOPMENT = Path(__file__).parents[2] / "benchmarks" / "development.jsonl"


def test_a_report_is_reused_only_for_its_own_version_and_if_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def ucoder(command: list[str], **_: object) -> None:
        version = command[command.index("--adapter") + 1] if "--adapter" in command else "base"
        measured.append(version)
        report = {"of": version, **dict.fromkeys(arms.KEYS)}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(report))

    monkeypatch.setattr(arms.subprocess, "run", ucoder)
    (tmp_path / "0002-bb-mbppplus-greedy.json").write_text('{"of": "an earlier version", "chosen": null}')
    for version in ("0001-aa", "0002-bb", None, "0001-aa"):
        arm = "consensus" if version else "base"
        report = arms.measured(tmp_path, arm, version, "mbppplus", DEVELOPMENT, "greedy")
        assert report is not None
        assert report["of"] == (version or "base")
    assert measured == ["0001-aa", "0002-bb", "base"]
