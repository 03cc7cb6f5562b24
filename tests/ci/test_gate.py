"""The whole gate on a real repository: every kind of patch gets its verdict and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml

from ci.cli import REPORTS, gate
from ci.errors import UsageError
from ci.gate import Request
from ci.reports.result import SCHEMA
from sandbox.errors import SandboxUnavailable
from tests.ci.git_project import SHOP, Project

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
WRONG = "    return round(sum(prices) - sum(prices) * discount / 100)\n"
"""Passes every test of the project, and rounds where base rounds down."""

OPAQUE = """\
    class Same(int):
        __hash__ = int.__hash__

        def __eq__(self, other):
            return True

    return Same(7)
"""
FROM_CALL = """
import _pytest.runner

_honest = _pytest.runner.CallInfo.from_call.__func__


def _from_call(cls, func, when, reraise=None):
    return _honest(cls, (lambda: None) if when == "call" else func, when, reraise)


_pytest.runner.CallInfo.from_call = classmethod(_from_call)
"""
WRITTEN_AGAINST_THE_GATE = """
import sys

_main = sys.modules.get("__main__")
if hasattr(_main, "canary_file"):
    import json, os

    def _say(**record):
        os.write(_main.channel, ("\\n" + _main.word + " " + json.dumps(record) + "\\n").encode())

    def _outcome(test, how):
        for when in ("setup", "call", "teardown"):
            bad = how == "failed" and when == "call"
            _say(kind="report", id=test, when=when, outcome=how if bad else "passed", xfail=False, text="x")

    for _name in ("test_total", "test_total_of_nothing", "test_cheapest"):
        _outcome("tests/test_shop.py::" + _name, "passed")
    for _line in open(_main.canary_file):
        if _line.startswith("def "):
            _outcome(_main.canary_file + "::" + _line[4:].partition("(")[0], "failed")
    _say(kind="finished", status=1)
    os._exit(1)
"""


def run(project: Project, *arguments: str) -> Result:
    result = CliRunner().invoke(gate, ["--repo", str(project.folder), "--base", "main", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def right(project: Project) -> list[str]:
    return [project.patch(name, project.replaced(SUM, body)) for name, body in RIGHT.items()]


def report(folder: Path) -> dict[str, object]:
    data = json.loads((folder / "result.json").read_text())
    assert isinstance(data, dict)
    return data


@pytest.mark.slow
def test_right_patches_outvote_a_wrong_one_that_passes_the_tests(project: Project, tmp_path: Path) -> None:
    wrong = project.patch("wrong.patch", project.replaced(SUM, WRONG))
    out = tmp_path / "out"
    result = run(project, "--patch", wrong, *right(project), "--out", str(out))
    assert result.exit_code == 0, result.output

    data = report(out)
    assert data["schema"] == SCHEMA
    assert (data["verdict"], data["exit_code"], data["accepted"], data["tier"]) == (
        "accepted",
        0,
        "a.patch",
        1,
    )
    assert (out / "accepted.patch").read_bytes() == (project.patches / "a.patch").read_bytes()
    groups = [group["patches"] for group in data["clusters"]]  # type: ignore[attr-defined]
    assert groups == [["a.patch", "b.patch", "c.patch"], ["wrong.patch"]]
    assert data["behaviour"]["differences"]["wrong.patch"]  # type: ignore[index]
    assert not data["behaviour"]["differences"]["a.patch"]  # type: ignore[index]

    junit = JUnitXml.fromfile(str(out / "junit.xml"))
    assert (junit.tests, junit.failures, junit.errors) == (4 * (3 + 1), 0, 0)
    summary = (out / "summary.md").read_text()
    assert "| `a.patch` | 5 | **accepted** |" in summary
    assert "| `wrong.patch` | 5 | outvoted |" in summary
    assert summary == result.stdout


@pytest.mark.slow
def test_leaving_the_process_at_import_is_tampering(project: Project, tmp_path: Path) -> None:
    fake = project.patch("exit.patch", {"shop.py": "import os\n\nos._exit(0)\n"})
    out = tmp_path / "out"
    result = run(project, "--patch", fake, "--out", str(out))
    assert result.exit_code == 5, result.output
    assert "ended itself before pytest was done" in result.stdout
    assert not (out / "accepted.patch").exists()


@pytest.mark.slow
def test_patching_pytest_is_tampering(project: Project) -> None:
    fake = project.patch(
        "fake.patch", {"shop.py": SHOP.replace("result += price", "result -= 1") + FROM_CALL}
    )
    result = run(project, "--patch", fake, *right(project))
    assert result.exit_code == 5, result.output
    assert "6 of 6 tests that must fail were reported as passed" in result.stdout


@pytest.mark.slow
def test_an_always_equal_object_is_rejected(project: Project) -> None:
    fake = project.patch("fake.patch", project.replaced(SUM, OPAQUE))
    result = run(project, "--patch", fake)
    assert result.exit_code == 1, result.output
    assert "gives no plain or no stable value" in result.stdout


@pytest.mark.slow
def test_a_forgery_of_every_report_still_does_not_get_in(project: Project, tmp_path: Path) -> None:
    """A fake written against this very gate forges all reports. Behaviour is compared without it."""
    text = SHOP.replace("result += price", "result -= 1") + WRITTEN_AGAINST_THE_GATE
    fake = project.patch("0-forged.patch", {"shop.py": text})
    out = tmp_path / "out"
    result = run(project, "--patch", fake, *right(project), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert report(out)["accepted"] == "a.patch"
    assert "| `0-forged.patch` |" in result.stdout
    assert "outvoted" in result.stdout
    alone = run(project, "--patch", fake)
    assert alone.exit_code == 3, alone.output
    refactoring = run(project, "--patch", fake, "--intent", "preserve")
    assert refactoring.exit_code == 1, refactoring.output


@pytest.mark.slow
def test_a_refactoring_with_a_side_effect_at_import_is_rejected(project: Project) -> None:
    """The tests pass and no value changes, but loading the module tries to start a program."""
    effect = SHOP.replace("def total", "import os\n\nDONE = os.system('true')\n\n\ndef total", 1)
    hidden = project.patch(
        "hidden.patch", {"shop.py": effect.replace("result += price", "result = result + price")}
    )
    result = run(project, "--patch", hidden, "--intent", "preserve")
    assert result.exit_code == 1, result.output
    assert "forbidden system call" in result.stdout


UNSEEN = {
    "a global named like a number": [
        ("def total", "v2 = 0\n\n\ndef total"),
        ("return result *", "return v2 *"),
    ],
    "another function while it loads": [
        ("def label(", "_done = globals().update(total=lambda *_: 0)\n\n\ndef label(")
    ],
    "another function by a default": [
        ("def label(", "def _new(_=globals().pop('total')): ...\n\n\ndef label(")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", UNSEEN)
def test_a_broken_function_beside_an_honest_change_is_seen(project: Project, case: str) -> None:
    """The tests that are run do not notice it, and the change that is plain to see is right."""
    text = SHOP.replace("sorted(prices)[0]", "min(prices)")
    for old, new in UNSEEN[case]:
        text = text.replace(old, new, 1)
    patch = project.patch("hidden.patch", {"shop.py": text})
    result = run(project, patch, "--intent", "preserve", "--tests", "tests/test_shop.py::test_cheapest")
    assert result.exit_code == 1, result.output
    assert "changes behaviour" in result.stdout


@pytest.mark.slow
def test_one_patch_alone(project: Project) -> None:
    good, bad = right(project)[0], project.patch("wrong.patch", project.replaced(SUM, WRONG))
    assert run(project, "--patch", good).exit_code == 3
    assert run(project, "--patch", bad).exit_code == 3
    assert run(project, "--patch", good, "--intent", "preserve").exit_code == 0
    told = run(project, "--patch", bad, "--intent", "preserve", "--json")
    assert told.exit_code == 1
    data = json.loads(told.stdout)
    assert (data["verdict"], data["accepted"]) == ("rejected", None)
    assert "changes behaviour" in data["reason"]


@pytest.mark.slow
def test_copies_of_one_patch_do_not_make_a_majority(project: Project) -> None:
    body = "    {0} = sum(prices)\n    return {0} * (100 - discount) // 100\n"
    copies = [project.patch(f"{n}.patch", project.replaced(SUM, body.format(n))) for n in ("x", "y", "zz")]
    result = run(project, *copies)
    assert result.exit_code == 3, result.output
    assert "one distinct plausible patch" in result.stdout


@pytest.mark.slow
def test_edits_of_tests_go_to_a_person(project: Project) -> None:
    conftest = project.patch("conftest.patch", {"conftest.py": "import os\nos._exit(0)\n"})
    mixed = project.patch("mixed.patch", {"tests/test_shop.py": "", **project.replaced("[0]", "[-1]")})
    result = run(project, "--patch", conftest, "--patch", mixed)
    assert result.exit_code == 3, result.output
    assert "a person has to decide: conftest.patch edits protected paths (conftest.py)" in result.stdout


@pytest.mark.slow
def test_a_file_that_shadows_an_installed_package_goes_to_a_person(project: Project) -> None:
    files = {
        "pathspec.py": "class GitIgnoreSpec: ...\n",
        **project.replaced("sorted(prices)[0]", "min(prices)"),
    }
    result = run(project, project.patch("shadow.patch", files), "--intent", "preserve")
    assert result.exit_code == 3, result.output
    assert "shadow.patch edits protected paths (pathspec.py)" in result.stdout


@pytest.mark.slow
def test_a_failing_patch_is_rejected(project: Project) -> None:
    broken = project.patch("broken.patch", project.replaced("[0]", "[-1]"))
    unloadable = project.patch("syntax.patch", project.replaced("def total(", "def total(("))
    result = run(project, "--patch", broken, "--patch", unloadable)
    assert result.exit_code == 1, result.output
    assert "tests/test_shop.py::test_cheapest failed" in result.stdout
    assert "3 tests cannot be collected" in result.stdout


@pytest.mark.slow
def test_refused_patches_are_rejected_and_touch_nothing(project: Project, tmp_path: Path) -> None:
    outside = project.save("outside.patch", b"--- a/../evil\n+++ b/../evil\n@@ -1 +1 @@\n-a\n+b\n")
    option = project.save(
        "option.patch", b"--- a/--upload-pack=x\n+++ b/--upload-pack=x\n@@ -1 +1 @@\n-a\n+b\n"
    )
    link = project.save(
        "link.patch",
        b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n"
        b"\\ No newline at end of file\n",
    )
    result = run(project, outside, option, link)
    assert result.exit_code == 1, result.output
    for says in ("outside the repository", "must not start with '-'", "symbolic link"):
        assert says in result.stdout
    assert not (tmp_path / "evil").exists()


@pytest.mark.slow
def test_a_reproduction_test_must_fail_on_base_and_pass_with_the_patch(project: Project) -> None:
    """A real fix: three ways to round up, and one that mends the reported case only."""
    bodies = {
        "a.patch": "    return -(-sum(prices) * (100 - discount) // 100)\n",
        "b.patch": "    return (sum(prices) * (100 - discount) + 99) // 100\n",
        "c.patch": "    whole, rest = divmod(sum(prices) * (100 - discount), 100)\n    return whole + (rest > 0)\n",
        "case.patch": "    if prices == [101]:\n        return 51\n" + SUM,
    }
    made = [project.patch(name, project.replaced(SUM, body)) for name, body in bodies.items()]
    unmended = project.patch("unmended.patch", project.replaced(SUM, RIGHT["a.patch"]))
    file = project.folder / "tests/test_bug.py"
    file.write_text("import shop\n\n\ndef test_rounds_up():\n    assert shop.total([101], 50) == 51\n")
    result = run(project, *made, unmended, "--reproduce", str(file))
    assert result.exit_code == 0, result.output
    assert "must pass with the patch" in result.stdout
    assert "| `case.patch` | 2 | outvoted | 2 | like base on all" in result.stdout


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
    arguments, says = BAD_INPUT[case]
    result = run(project, right(project)[0], *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_without_git_it_says_so(project: Project) -> None:
    ucoder = Path(sys.executable).parent / "ucoder"
    command = [ucoder, "gate", "--repo", project.folder, "--base", "main", right(project)[0]]
    done = subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "Error: git is not installed, or not on PATH: install the package git\n"


def test_no_patch_is_usage(project: Project) -> None:
    result = run(project)
    assert result.exit_code == 2
    assert "give at least one with --patch" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"tests/test_red.py": "def test_red():\n    assert 0\n"}, "1 tests fail on the base commit"),
        ({"tests/test_bad.py": "import nowhere_to_be_found\n"}, "cannot be collected on the base commit"),
        ({"conftest.py": "raise RuntimeError('broken')\n"}, "were not reported as failed on the base commit"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--nonsense'\n"}, "on the base commit"),
        (
            {"tests/test_slow.py": "import time\n\n\ndef test_slow():\n    time.sleep(60)\n"},
            "raise --timeout",
        ),
    ],
)
def test_a_base_that_cannot_judge(project: Project, files: dict[str, str], says: str) -> None:
    patch = right(project)[0]
    project.commit(files)
    result = run(project, patch, "--timeout", "8")
    assert result.exit_code == 2, result.output
    assert says in result.stderr


@pytest.mark.slow
def test_flaky_tests_are_found_and_judge_nobody(project: Project, tmp_path: Path) -> None:
    flaky = "import os\n\n\ndef test_seed():\n    assert os.environ['PYTHONHASHSEED'] == '1'\n"
    project.commit({"tests/test_flaky.py": flaky})
    out = tmp_path / "out"
    result = run(project, *right(project), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert report(out)["tests"]["flaky"] == ["tests/test_flaky.py::test_seed"]  # type: ignore[index]


@pytest.mark.slow
def test_code_that_no_input_reaches_abstains(project: Project) -> None:
    """Objects of the project's own classes cannot be compared, so three equal patches are not enough."""
    source = (
        "class Till:\n    pass\n\n\ndef open_till(book) -> Till:\n    return Till() if book else Till()\n"
    )
    tests = "import till\n\n\ndef test_open():\n    assert till.open_till(1)\n"
    project.commit({"till.py": source, "tests/test_till.py": tests})
    bodies = ("Till()", "(Till() if book is None else Till())", "[Till()][0]")
    made = [
        project.patch(f"{n}.patch", {"till.py": source.replace("Till() if book else Till()", body)})
        for n, body in enumerate(bodies)
    ]
    result = run(project, *made)
    assert result.exit_code == 3, result.output
    assert "no usable input was found for till.open_till" in result.stdout


@pytest.mark.slow
def test_a_sandbox_that_fails_is_exit_code_4(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap nothing runs, and nobody is blamed."""
    empty = project.patches / "bin"
    empty.mkdir()
    for tool in ("git", "env"):
        (empty / tool).symlink_to(f"/usr/bin/{tool}")
    patch = right(project)[0]
    monkeypatch.setenv("PATH", str(empty))
    result = run(project, patch)
    assert result.exit_code == 4, result.output
    assert "bubblewrap is not installed" in result.stderr


@pytest.mark.slow
def test_a_sandbox_that_fails_for_one_patch_blames_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.command import run_command

    runs = []

    def fails_the_third_time(*arguments: object, **settings: object) -> object:
        runs.append(arguments)
        if len(runs) == 3:
            raise SandboxUnavailable("no more namespaces")
        return run_command(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("ci.testing.runner.run_command", fails_the_third_time)
    result = run(project, right(project)[0])
    assert result.exit_code == 4, result.output
    assert "a.patch: no more namespaces" in result.stdout


@pytest.mark.slow
def test_posing_as_a_sandbox_that_fails_is_tampering(project: Project) -> None:
    # So that pytest itself says nothing on standard error before the patch does.
    quiet = "[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = 'function'\n"
    project.commit({"pyproject.toml": quiet})
    pose = (
        "import os\n\nfor _fd in range(2, 40):\n    try:\n        os.write(_fd, b'bwrap: no namespaces\\n')\n"
        "    except OSError:\n        pass\nos._exit(1)\n"
    )
    result = run(project, project.patch("pose.patch", {"shop.py": pose}))
    assert result.exit_code == 5, result.output


def test_nothing_runs_before_the_sandbox_is_proven(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def holds_not(sandbox: object) -> None:
        raise SandboxUnavailable("the jail does not hold")

    def never(*arguments: object, **settings: object) -> None:
        raise AssertionError("tests were run")

    monkeypatch.setattr("sandbox.tiers.prove", holds_not)
    monkeypatch.setattr("ci.testing.runner.run_command", never)
    result = run(project, right(project)[0])
    assert (result.exit_code, result.stderr) == (4, "Error: the jail does not hold\n")


def test_a_full_disk_is_exit_code_4(project: Project) -> None:
    """A limit on the size of files stands for the disk: git cannot write what base contains."""
    project.commit({"large.txt": "x" * 200_000})
    ucoder = Path(sys.executable).parent / "ucoder"
    command = f"ulimit -f 64; exec {ucoder} gate --repo {project.folder} --base main {right(project)[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "set TMPDIR to a folder that has it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("left_out", ["tree:0", "blob:none"])
def test_a_partial_clone_is_asked_for_the_whole_commit(
    project: Project, tmp_path: Path, left_out: str
) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    clone = ("clone", "-q", "--no-checkout", f"--filter={left_out}", f"file://{project.folder}")
    project.git(*clone, str(tmp_path / "part"))
    result = run(project, right(project)[0], "--repo", str(tmp_path / "part"))
    assert result.exit_code == 2, result.output
    assert "fetch the whole commit" in result.stderr


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_unforeseen_error_is_no_verdict(
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


def test_files_are_named_from_where_one_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder below the repository's top, by `--repo` or as the current one, or from the top."""
    project.commit({"sub/tests/test_sub.py": "def test_sub(): ...\n"})
    asked: list[Request] = []

    def keep(request: Request, tell: object) -> None:
        asked.append(request)
        raise UsageError("enough")

    monkeypatch.setattr("ci.cli.run_gate", keep)
    named = ["--reproduce", "tests/test_sub.py", "--tests", "tests/test_sub.py::test_sub", "--tests", "sub"]
    run(project, right(project)[0], "--repo", str(project.folder / "sub"), *named)
    monkeypatch.chdir(project.folder / "sub")
    run(project, right(project)[0], "--repo", ".", *named)
    for request in asked:
        assert request.tests == ("sub/tests/test_sub.py::test_sub", "sub")
        assert request.reproduce == (("sub/tests/test_sub.py", b"def test_sub(): ...\n"),)
    assert len(asked) == 2
