"""Run the whole gate on a real repository, for every verdict.

A run takes seconds, so the tests of one kind of verdict share one run with all their patches.
"""

from __future__ import annotations

import pytest
from junitparser import JUnitXml

from ci.reports.result import SCHEMA
from sandbox.errors import SandboxUnavailable
from tests.ci.gate_runs import RIGHT, SUM, Run, new_project, right, run
from tests.ci.git_project import SHOP, UNSEEN, Project

WRONG = "    {0} = sum(prices)\n    return round({0} - {0} * discount / 100)\n"
"""Passes every test of the project, and rounds where base rounds down. Any local name makes one program."""

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
POSE = """\
import os

for _fd in range(2, 40):
    try:
        os.write(_fd, b'bwrap: no namespaces\\n')
    except OSError:
        pass
os._exit(1)
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

    for _name in ("shop.py::test_total", "shop.py::test_total_of_nothing", "shop.py::test_cheapest"):
        _outcome("tests/test_" + _name, "passed")
    _outcome("tests/test_flaky.py::test_seed", "passed")
    for _line in open(_main.canary_file):
        if _line.startswith("def "):
            _outcome(_main.canary_file + "::" + _line[4:].partition("(")[0], "failed")
    _say(kind="finished", status=1)
    os._exit(1)
"""
BROKEN = SHOP.replace("result += price", "result -= 1")
FLAKY = "import os\n\n\ndef test_seed():\n    assert os.environ['PYTHONHASHSEED'] == '1'\n"


@pytest.fixture(scope="module")
def vote(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three right patches against a wrong one, its copy and two fakes.

    One test of base is flaky.
    """
    project = new_project(tmp_path_factory.mktemp("vote"), {"tests/test_flaky.py": FLAKY})
    forged = project.patch("0-forged.patch", {"shop.py": BROKEN + WRITTEN_AGAINST_THE_GATE})
    copies = [project.patch(f"{n}.patch", project.replaced(SUM, WRONG.format(n))) for n in ("wrong", "copy")]
    equal = project.patch("equal.patch", project.replaced(SUM, OPAQUE))
    return Run(project, "--patch", forged, *copies, equal, *right(project))


@pytest.mark.slow
def test_right_patches_outvote_a_wrong_one_that_passes_the_tests(vote: Run) -> None:
    data = vote.data
    assert (vote.exit_code, data["verdict"], data["exit_code"]) == (0, "accepted", 0), vote.stdout
    assert data["accepted"] == "a.patch"
    accepted = (vote.out / "accepted.patch").read_bytes()
    assert accepted == (vote.project.patches / "a.patch").read_bytes()
    assert data["clusters"][0]["patches"] == ["a.patch", "b.patch", "c.patch"]
    assert data["behaviour"]["differences"]["wrong.patch"]
    assert not data["behaviour"]["differences"]["a.patch"]


@pytest.mark.slow
def test_copies_of_one_patch_are_one_vote(vote: Run) -> None:
    groups = {frozenset(group["patches"]): group["distinct"] for group in vote.data["clusters"]}
    assert groups[frozenset({"wrong.patch", "copy.patch"})] == 1


@pytest.mark.slow
def test_a_forgery_of_every_report_is_outvoted(vote: Run) -> None:
    """A fake written against this very gate forges all reports.

    Behaviour is compared without pytest.
    """
    assert vote.patch("0-forged.patch")["standing"] == "plausible"
    assert ["0-forged.patch"] in [group["patches"] for group in vote.data["clusters"]]
    assert "| `0-forged.patch` | 25 | outvoted |" in vote.stdout


@pytest.mark.slow
def test_an_always_equal_object_has_no_vote(vote: Run) -> None:
    assert vote.patch("equal.patch")["standing"] == "plausible", "the tests do not notice it"
    assert "not plain data or not stable" in vote.patch("equal.patch")["behaviour"]
    assert not any("equal.patch" in group["patches"] for group in vote.data["clusters"])


@pytest.mark.slow
def test_flaky_tests_are_found_and_do_not_count(vote: Run) -> None:
    assert vote.data["tests"]["flaky"] == ["tests/test_flaky.py::test_seed"]
    assert len(vote.data["tests"]["expected"]) == 3


@pytest.mark.slow
def test_the_reports_agree(vote: Run) -> None:
    assert (vote.data["schema"], vote.data["tier"]) == (SCHEMA, 1)
    junit = JUnitXml.fromfile(str(vote.out / "junit.xml"))
    assert (junit.tests, junit.failures, junit.errors) == (7 * (3 + 1), 0, 0)
    summary = (vote.out / "summary.md").read_text()
    assert "| `a.patch` | 5 | **accepted** |" in summary
    assert "| `wrong.patch` | 6 | outvoted |" in summary
    assert summary == vote.stdout


@pytest.fixture(scope="module")
def tampering(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three fakes beside a right patch that would be accepted alone."""
    # pytest itself must print nothing on standard error before the posing patch does.
    quiet = "[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = 'function'\n"
    project = new_project(tmp_path_factory.mktemp("tampering"), {"pyproject.toml": quiet})
    left = project.patch("exit.patch", {"shop.py": "import os\n\nos._exit(0)\n"})
    fake = project.patch("fake.patch", {"shop.py": BROKEN + FROM_CALL})
    pose = project.patch("pose.patch", {"shop.py": POSE})
    return Run(project, left, fake, pose, right(project)[0], "--intent", "preserve")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exit.patch", "ended itself before pytest was done"),
        ("fake.patch", "6 of 6 tests that must fail were reported as passed"),
        ("pose.patch", ""),
    ],
    ids=["leaving the process at import", "patching pytest", "posing as a sandbox that fails"],
)
def test_tampering_ends_the_run(tampering: Run, name: str, reason: str) -> None:
    assert tampering.exit_code == 5, tampering.stdout
    assert tampering.patch(name)["standing"] == "tampering"
    assert reason in tampering.patch(name)["reason"]
    assert tampering.patch("a.patch")["standing"] == "plausible"
    assert not (tampering.out / "accepted.patch").exists()


@pytest.fixture(scope="module")
def refactorings(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Patches that change behaviour under `preserve`, though every test passes."""
    project = new_project(tmp_path_factory.mktemp("refactorings"), {"tests/test_flaky.py": FLAKY})
    effect = SHOP.replace("def total", "import os\n\nDONE = os.system('true')\n\n\ndef total", 1)
    made = [
        project.patch("wrong.patch", project.replaced(SUM, WRONG.format("whole"))),
        project.patch("forged.patch", {"shop.py": BROKEN + WRITTEN_AGAINST_THE_GATE}),
        project.patch(
            "effect.patch", {"shop.py": effect.replace("result += price", "result = result + price")}
        ),
    ]
    return Run(project, *made, "--intent", "preserve")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("wrong.patch", "first difference: "),
        ("forged.patch", "first difference: "),
        ("effect.patch", "forbidden system call"),  # at import: no value changes
    ],
)
def test_a_refactoring_that_changes_behaviour_is_rejected(
    refactorings: Run, name: str, difference: str
) -> None:
    data = refactorings.data
    assert (refactorings.exit_code, data["verdict"], data["accepted"]) == (1, "rejected", None)
    assert "changes behaviour" in data["reason"]
    assert refactorings.patch(name)["standing"] == "plausible", "the tests do not notice it"
    assert difference in refactorings.patch(name)["behaviour"]


@pytest.mark.slow
def test_a_broken_function_beside_an_honest_change_is_seen(project: Project) -> None:
    """Find the fault though the chosen tests pass.

    tests/ci/behaviour/test_plan.py plans each patch alone.
    """
    names = [project.patch(f"{n}.patch", {"shop.py": text}) for n, text in enumerate(UNSEEN.values())]
    only = ["--tests", "tests/test_shop.py::test_cheapest"]
    result = Run(project, *names, "--intent", "preserve", *only)
    assert result.exit_code == 1, result.stdout
    for number in range(len(names)):
        patch = result.patch(f"{number}.patch")
        assert patch["standing"] == "plausible"
        differences = result.data["behaviour"]["differences"][f"{number}.patch"]
        assert any(one["input"].startswith("shop: total(") for one in differences)


@pytest.mark.slow
def test_one_patch_alone_abstains(project: Project) -> None:
    result = run(project, project.patch("good.patch", project.replaced("sorted(prices)[0]", "min(prices)")))
    assert result.exit_code == 3, result.output
    assert "there is one distinct plausible patch, and at least 3 are needed" in result.stdout


@pytest.mark.slow
def test_protected_and_shadowing_files_need_human_review(project: Project) -> None:
    honest = project.replaced("sorted(prices)[0]", "min(prices)")
    made = [
        project.patch("conftest.patch", {"conftest.py": "import os\nos._exit(0)\n"}),
        project.patch("mixed.patch", {"tests/test_shop.py": "", **project.replaced("[0]", "[-1]")}),
        project.patch("shadow.patch", {"pathspec.py": "class GitIgnoreSpec: ...\n", **honest}),
    ]
    result = Run(project, *made, "--intent", "preserve")
    assert result.exit_code == 3, result.stdout
    reason = "conftest.patch needs human review: it edits protected paths (conftest.py)"
    assert result.data["reason"] == reason
    for name, path in (("mixed.patch", "tests/test_shop.py"), ("shadow.patch", "pathspec.py")):
        assert result.patch(name)["standing"] == "needs-person"
        assert result.patch(name)["reason"] == f"edits protected paths ({path})"


@pytest.mark.slow
def test_failing_and_refused_patches_are_rejected(project: Project) -> None:
    plain = "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-a\n+b\n"
    made = [
        project.patch("broken.patch", project.replaced("[0]", "[-1]")),
        project.patch("syntax.patch", project.replaced("def total(", "def total((")),
        project.save("outside.patch", plain.format("../evil").encode()),
        project.save("option.patch", plain.format("--upload-pack=x").encode()),
        project.save(
            "link.patch",
            b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n"
            b"\\ No newline at end of file\n",
        ),
    ]
    result = Run(project, *made)
    assert result.exit_code == 1, result.stdout
    for name, standing, reason in (
        ("broken.patch", "failed", "tests/test_shop.py::test_cheapest failed"),
        ("syntax.patch", "failed", "3 tests cannot be collected"),
        ("outside.patch", "refused", "outside the repository"),
        ("option.patch", "refused", "must not start with '-'"),
        ("link.patch", "refused", "symbolic link"),
    ):
        assert result.patch(name)["standing"] == standing
        assert reason in result.patch(name)["reason"]
    assert not (project.folder.parent / "evil").exists()


@pytest.mark.slow
def test_a_reproduction_test_must_fail_on_base_and_pass_with_the_patch(project: Project) -> None:
    """Three ways to round up, and one that fixes one case only."""
    bodies = {
        "a.patch": "    return -(-sum(prices) * (100 - discount) // 100)\n",
        "b.patch": "    return (sum(prices) * (100 - discount) + 99) // 100\n",
        "c.patch": "    whole, rest = divmod(sum(prices) * (100 - discount), 100)\n    return whole + (rest > 0)\n",
        "case.patch": "    if prices == [101]:\n        return 51\n" + SUM,
        "unfixed.patch": RIGHT["a.patch"],
    }
    made = [project.patch(name, project.replaced(SUM, body)) for name, body in bodies.items()]
    file = project.folder / "tests/test_bug.py"
    file.write_text("import shop\n\n\ndef test_rounds_up():\n    assert shop.total([101], 50) == 51\n")
    result = run(project, *made, "--reproduce", str(file))
    assert result.exit_code == 0, result.output
    assert "must pass with the patch" in result.stdout
    assert "| `case.patch` | 2 | outvoted | 2 | like base on all" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "message", "timeout"),
    [
        ({"tests/test_red.py": "def test_red():\n    assert 0\n"}, "1 tests fail on the base commit", 60),
        ({"tests/test_bad.py": "import nowhere_to_be_found\n"}, "cannot be collected on the base commit", 60),
        (
            {"conftest.py": "raise RuntimeError('broken')\n"},
            "were not reported as failed on the base commit",
            60,
        ),
        (
            {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--nonsense'\n"},
            "on the base commit",
            60,
        ),
        (
            {"tests/test_slow.py": "import time\n\n\ndef test_slow():\n    time.sleep(60)\n"},
            "raise --timeout",
            2,
        ),
    ],
)
def test_a_base_that_cannot_judge_is_a_usage_error(
    project: Project, files: dict[str, str], message: str, timeout: int
) -> None:
    patch = right(project)[0]
    project.commit(files)
    result = run(project, patch, "--timeout", str(timeout))
    assert result.exit_code == 2, result.output
    assert message in result.stderr


@pytest.mark.slow
def test_code_that_no_input_reaches_abstains(project: Project) -> None:
    """Objects of the project's own classes cannot be compared where no hint names them."""
    source = "class Till:\n    pass\n\n\ndef open_till(book):\n    return Till() if book else Till()\n"
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
    """Without bubblewrap nothing runs, and no patch is blamed."""
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
def test_a_sandbox_that_fails_for_one_patch_is_exit_code_4(
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


def test_nothing_runs_before_the_sandbox_is_proven(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(sandbox: object) -> None:
        raise SandboxUnavailable("the jail does not hold")

    def never(*arguments: object, **settings: object) -> None:
        raise AssertionError("tests were run")

    monkeypatch.setattr("sandbox.tiers.prove", fails)
    monkeypatch.setattr("ci.testing.runner.run_command", never)
    result = run(project, right(project)[0])
    assert (result.exit_code, result.stderr) == (4, "Error: the jail does not hold\n")
