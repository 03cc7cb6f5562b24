"""Run the gate on patches of the small project's function `total`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from ci.cli import gate
from tests.ci.git_project import Project

SUM = """\
    result = 0
    for price in prices:
        result += price
    return result * (100 - discount) // 100
"""
RIGHT = {
    "a.patch": "    return sum(prices) * (100 - discount) // 100\n",
    "b.patch": "    whole = sum(price for price in prices)\n    return whole * (100 - discount) // 100\n",
    "c.patch": "    keep = 100 - discount\n    return keep * sum(prices) // 100\n",
}


def run(project: Project, *arguments: str) -> Result:
    """Run `ucoder gate` against the project's branch main."""
    result = CliRunner().invoke(gate, ["--repo", str(project.folder), "--base", "main", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def right(project: Project) -> list[str]:
    """Three patch files that change no behaviour, each another program."""
    return [project.patch(name, project.replaced(SUM, body)) for name, body in RIGHT.items()]


class Run:
    """One run of the gate with all its reports."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.project = project
        self.out = project.folder.parent / "out"
        result = run(project, *arguments, "--out", str(self.out))
        self.exit_code, self.stdout = result.exit_code, result.stdout
        assert (self.out / "result.json").exists(), result.output
        self.data = json.loads((self.out / "result.json").read_text())

    def patch(self, name: str) -> dict[str, str]:
        """The entry of one patch in result.json."""
        return next(entry for entry in self.data["patches"] if entry["name"] == name)


def new_project(folder: Path, files: dict[str, str] | None = None) -> Project:
    """Make the project in an empty folder, with further files committed."""
    project = Project(folder / "project")
    if files:
        project.commit(files)
    return project
