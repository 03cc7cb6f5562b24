"""The script of the composite action, run as a CI runner does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci.git_project import Project

ACTION = Path(__file__).parents[2] / ".github/actions/ucoder-gate"
SETTINGS = (
    "BASE",
    "PATCHES",
    "REPOSITORY",
    "TESTS",
    "REPRODUCE",
    "PROTECT",
    "INTENT",
    "PYTHON",
    "TIMEOUT",
    "REPORT",
)


def run_action(project: Project, **given: str) -> tuple[int, str, str]:
    """Run the script; return its exit code, outputs and step summary."""
    folder = project.patches
    environment = dict.fromkeys(SETTINGS, "")
    environment |= {"BASE": "main", "REPOSITORY": str(project.folder), "INTENT": "change", "TIMEOUT": "60"}
    environment |= {"REPORT": str(folder / "report"), "UCODER": str(Path(sys.executable).parent / "ucoder")}
    environment |= {"GITHUB_OUTPUT": str(folder / "out"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    done = subprocess.run(
        ["bash", ACTION / "gate.sh"],
        env={**os.environ, **environment, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = folder / "summary"
    return (
        done.returncode,
        (folder / "out").read_text(),
        summary.read_text() if summary.exists() else done.stderr,
    )


@pytest.mark.slow
def test_the_verdict_becomes_the_output_and_exit_code(project: Project) -> None:
    project.patch("with a space.patch", project.replaced("sorted(prices)[0]", "min(prices)"))
    patches = f"{project.patches}/*.patch"
    code, outputs, summary = run_action(
        project, PATCHES=patches, INTENT="preserve", TESTS="tests/test_shop.py"
    )
    assert code == 0, summary
    assert "exit-code=0\nverdict=accepted\n" in outputs
    assert f"accepted-patch={project.patches}/report/accepted.patch\n" in outputs
    assert summary.startswith("## Accepted\n")


def test_settings_are_never_commands_or_options(project: Project) -> None:
    patch = project.patch("p.patch", project.replaced("sorted(prices)[0]", "min(prices)"))
    owned = project.patches / "owned"
    code, outputs, _ = run_action(project, PATCHES=patch, BASE=f"$(touch {owned})", TESTS=f"`touch {owned}`")
    assert code == 2
    assert "verdict=usage" in outputs
    code, _, message = run_action(project, PATCHES=patch, TESTS="--help\n-p evil")
    assert code == 2
    assert "not options of pytest: --help" in message
    assert not owned.exists()


def test_python_starts_outside_the_project(tmp_path: Path) -> None:
    """A checkout may hold a venv.py.

    `python -m venv` imports from the current folder first.
    """
    step = (ACTION / "action.yml").read_text().partition("Install UCoder beside")[2].partition("- name:")[0]
    script = step.partition("run: |\n")[2]
    runner, project = tmp_path / "runner", tmp_path / "project"
    for folder in (runner, project):
        folder.mkdir()
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\npwd\nexit 9\n")
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNER_TEMP": str(runner)}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 9
    assert done.stdout.strip() == str(runner)


def test_a_usage_error_does_not_pass_on_an_earlier_verdict(project: Project) -> None:
    """Invalid options end the command before it touches the report folder."""
    report = project.patches / "report"
    report.mkdir()
    for name in ("accepted.patch", "summary.md"):
        (report / name).write_text("from another run")
    patch = project.patch("p.patch", project.replaced("sorted(prices)[0]", "min(prices)"))
    code, outputs, summary = run_action(project, PATCHES=patch, TIMEOUT="soon")
    assert code == 2
    assert "accepted-patch" not in outputs
    assert "from another run" not in summary
    assert not (report / "accepted.patch").exists()


def test_the_script_sets_what_the_action_declares() -> None:
    text = (ACTION / "action.yml").read_text()
    script = (ACTION / "gate.sh").read_text()
    for name in SETTINGS:
        assert f"{name}: ${{{{ inputs.{name.lower()} }}}}" in text
        assert f'${name}"' in script or f"${name};" in script
