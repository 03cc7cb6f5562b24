"""Trees of a commit leave the user's repository alone.

Git must read a patch as the parser does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ci.errors import UsageError
from ci.patch.parse import PatchRefused, parse_patch
from ci.patch.worktrees import Worktrees
from tests.ci.git_project import SHOP, Project


def snapshot(folder: Path) -> dict[str, bytes]:
    """Read every file of the repository, git's own included."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch /tmp/owned",
        "-h",
        "--output=x",
        "",
        "main..HEAD",
        "main:shop.py",
        "main\n--help",
        "$(id)",
        ":/state",
        "nowhere",
        "0" * 40,
    ],
)
def test_a_ref_is_a_commit_or_a_usage_error(project: Project, ref: str) -> None:
    before = snapshot(project.folder)
    with pytest.raises(UsageError, match="commit"):
        Worktrees(project.folder, ref)
    assert snapshot(project.folder) == before


def test_a_folder_without_a_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--repo"):
        Worktrees(tmp_path, "main")


def test_trees_hold_base_and_patch_without_git(project: Project) -> None:
    patch = parse_patch("p", project.diff({"shop.py": SHOP + "\n\nX = 1\n", "new.py": "Y = 2\n"}))
    before = snapshot(project.folder)
    with Worktrees(project.folder, "main") as trees:
        base, patched = trees.plain("base"), trees.patched("p", patch)
        assert (base / "shop.py").read_text() == SHOP
        assert not (base / "new.py").exists()
        assert (patched / "shop.py").read_text().endswith("X = 1\n")
        assert (patched / "new.py").read_text() == "Y = 2\n"
        assert not list(base.rglob(".git"))
        assert not list(patched.rglob(".git"))
    assert not trees.root.exists()
    assert snapshot(project.folder) == before, "the user's repository is only read"


def test_kept_files_are_as_in_base(project: Project) -> None:
    patch = parse_patch(
        "p", project.diff({"tests/test_shop.py": "", "tests/conftest.py": "evil = 1\n", "a.py": "A = 1\n"})
    )
    with Worktrees(project.folder, "main") as trees:
        tree = trees.patched("p", patch, keep_base=("tests/test_shop.py", "tests/conftest.py"))
        assert "test_cheapest" in (tree / "tests/test_shop.py").read_text()
        assert not (tree / "tests/conftest.py").exists()
        assert (tree / "a.py").exists()


def test_hooks_and_filters_of_the_repository_do_not_run(project: Project, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        path = project.folder / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {owned}\n")
        path.chmod(0o755)
    project.commit({".gitattributes": "*.py filter=evil\n"})
    project.git("config", "filter.evil.smudge", f"touch {owned}; cat")
    project.git("config", "core.fsmonitor", f"touch {owned}")
    owned.unlink(missing_ok=True)
    patch = parse_patch("p", (b"--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x = 1\n"))
    with Worktrees(project.folder, "main") as trees:
        trees.plain("base")
        trees.patched("p", patch)
    assert not owned.exists()


def test_variables_of_a_calling_hook_are_ignored(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    with Worktrees(project.folder, "main") as trees:
        assert (trees.plain("base") / "shop.py").exists()


def test_a_patch_through_a_symlink_is_refused(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, project.folder / "link")
    project.commit({})
    for text in (
        b"--- /dev/null\n+++ b/link/evil.py\n@@ -0,0 +1 @@\n+x\n",
        b"--- a/link\n+++ b/link\n@@ -1 +1 @@\n-x\n+y\n",
    ):
        with Worktrees(project.folder, "main") as trees, pytest.raises(PatchRefused, match="symbolic link"):
            trees.patched("p", parse_patch("p", text))
    assert not list(outside.iterdir())


def test_a_patch_that_does_not_apply_is_refused(project: Project) -> None:
    patch = parse_patch("p", b"--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-not there\n+x\n")
    with Worktrees(project.folder, "main") as trees, pytest.raises(PatchRefused, match="does not apply"):
        trees.patched("p", patch)


def test_a_patch_that_git_reads_differently_is_refused(project: Project) -> None:
    """Hide a second header in text that unidiff takes for a comment.

    Git would change a file that was not parsed.
    """
    honest = project.diff({"new.py": "x = 1\n"})
    sneaked = honest + b"diff --git a/shop.py b/shop.py\nold mode 100644\nnew mode 100755\n"
    with Worktrees(project.folder, "main") as trees:
        forged = parse_patch("p", honest)
        object.__setattr__(forged, "data", sneaked)
        with pytest.raises(PatchRefused, match=r"mode of shop\.py"):
            trees.patched("p", forged)
        forged = parse_patch("q", honest)
        object.__setattr__(forged, "data", honest + project.diff({"other.py": "y = 1\n"}))
        with pytest.raises(PatchRefused, match=r"disagree.*other\.py"):
            trees.patched("q", forged)


LINES = [
    "--- a/shop.py",
    "+++ b/shop.py",
    "--- /dev/null",
    "+++ b/new.py",
    "+++ b/conftest.py",
    "@@ -1 +1 @@",
    "@@ -0,0 +1 @@",
    '-"""Prices of a small shop."""',
    "+x = 1",
    "diff --git a/new.py b/new.py",
    "diff --git a/shop.py b/shop.py",
    "new file mode 100644",
    "new file mode 120000",
    "old mode 100644",
    "new mode 100755",
    "copy from shop.py",
    "copy to conftest.py",
    "-- ",
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([LINES[2], LINES[3], LINES[6], LINES[8]])
@example([LINES[0], LINES[1], LINES[5], LINES[7], LINES[8], LINES[17]])
@given(st.lists(st.sampled_from(LINES), min_size=3, max_size=14))
def test_git_never_changes_more_than_was_parsed(project: Project, lines: list[str]) -> None:
    """Fuzz both parsers: a tree differs in the parsed paths alone."""
    try:
        patch = parse_patch("fuzzed", ("\n".join(lines) + "\n").encode())
    except PatchRefused:
        return
    with Worktrees(project.folder, "main") as trees:
        try:
            patched = trees.patched("p", patch)
        except PatchRefused:
            return
        shown = subprocess.run(
            ["diff", "-rq", trees.plain("base"), patched], capture_output=True, text=True, check=False
        )
        assert len(shown.stdout.splitlines()) == len(patch.paths), (patch.paths, shown.stdout)
