"""The command line of the gate: bad input and failing hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ci.cli import REPORTS
from ci.errors import UsageError
from ci.gate import Request
from tests.ci.gate_runs import right, run
from tests.ci.git_project import Project

BAD_INPUT = {
    "no such ref": (["--base", "nowhere"], "no commit 'nowhere'"),
    "an option for a ref": (["--base", "--upload-pack=touch x"], "is not the name of a commit"),
    "no such patch": (["--patch", "nothing.patch"], "nothing.patch cannot be read"),
    "an option for a test": (["--tests", "-pevil"], "not options of pytest"),
    "no repository": (["--repo", "/"], "is not a git repository"),
    "no such interpreter": (["--python", "/nowhere/python"], "/nowhere/python"),
    "reports in a file": (["--out", "/dev/null/x"], "name another folder with --out"),
    "a reproduction that is not there": (["--reproduce", "nothing.py"], "cannot be read"),
    "a reproduction from outside": (["--reproduce", "/etc/passwd"], "lies outside the repository"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_and_exit_code_2(project: Project, case: str) -> None:
    arguments, message = BAD_INPUT[case]
    result = run(project, right(project)[0], *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_without_git_the_message_names_the_package(project: Project) -> None:
    ucoder = Path(sys.executable).parent / "ucoder"
    command = [ucoder, "gate", "--repo", project.folder, "--base", "main", right(project)[0]]
    done = subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "Error: git is not installed, or not on PATH: install the package git\n"


def test_no_patch_is_usage(project: Project) -> None:
    result = run(project)
    assert result.exit_code == 2
    assert "give at least one with --patch" in result.stderr


def test_a_full_disk_is_exit_code_4(project: Project) -> None:
    """A limit on file size replaces a full disk."""
    project.commit({"large.txt": "x" * 200_000})
    ucoder = Path(sys.executable).parent / "ucoder"
    command = f"ulimit -f 64; exec {ucoder} gate --repo {project.folder} --base main {right(project)[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "set TMPDIR to a folder that has it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("left_out", ["tree:0", "blob:none"])
def test_a_partial_clone_is_a_usage_error(project: Project, tmp_path: Path, left_out: str) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    clone = ("clone", "-q", "--no-checkout", f"--filter={left_out}", f"file://{project.folder}")
    project.git(*clone, str(tmp_path / "part"))
    result = run(project, right(project)[0], "--repo", str(tmp_path / "part"))
    assert result.exit_code == 2, result.output
    assert "fetch the whole commit" in result.stderr


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_unforeseen_error_is_exit_code_4(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("unforeseen")

    monkeypatch.setattr("ci.cli.run_gate", fail)
    result = run(project, right(project)[0])
    assert result.exit_code == 4
    assert f"{error.__name__}: unforeseen" in result.stderr


def test_an_earlier_verdict_does_not_outlive_a_usage_error(project: Project, tmp_path: Path) -> None:
    for name in REPORTS:
        (tmp_path / name).write_text("from another run")
    result = run(project, right(project)[0], "--tests", "-pevil", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert not any((tmp_path / name).exists() for name in REPORTS)


def test_files_are_found_from_several_folders(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name files from a folder below the top, or from the top.

    The folder is given by `--repo`, or is the current one.
    """
    project.commit({"sub/tests/test_sub.py": "def test_sub(): ...\n"})
    requests: list[Request] = []

    def keep(request: Request, progress: object) -> None:
        requests.append(request)
        raise UsageError("enough")

    monkeypatch.setattr("ci.cli.run_gate", keep)
    named = ["--reproduce", "tests/test_sub.py", "--tests", "tests/test_sub.py::test_sub", "--tests", "sub"]
    run(project, right(project)[0], "--repo", str(project.folder / "sub"), *named)
    monkeypatch.chdir(project.folder / "sub")
    run(project, right(project)[0], "--repo", ".", *named)
    for request in requests:
        assert request.tests == ("sub/tests/test_sub.py::test_sub", "sub")
        assert request.reproduce == (("sub/tests/test_sub.py", b"def test_sub(): ...\n"),)
    assert len(requests) == 2


@pytest.mark.slow
def test_json_prints_the_result_as_it_is_written(project: Project) -> None:
    out = project.folder.parent / "out"
    result = run(project, right(project)[0], "--json", "--out", str(out))
    assert result.exit_code == 3
    assert json.loads(result.stdout) == json.loads((out / "result.json").read_text())
