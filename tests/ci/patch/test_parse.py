"""Parsing of patches: refusals, protected paths, and damaged texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.patch.parse import FileChange, PatchRefused, parse_patch, protected_paths

GOOD = b"""\
diff --git a/src/shop.py b/src/shop.py
index 1111111..2222222 100644
--- a/src/shop.py
+++ b/src/shop.py
@@ -1,3 +1,3 @@
 def total(prices):
-    return 0
+    return sum(prices)
 # end
"""


def body(old: str, new: str) -> bytes:
    return f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-a\n+b\n".encode()


def test_a_plain_patch_is_read() -> None:
    patch = parse_patch("good", GOOD)
    assert patch.changes == (FileChange("src/shop.py", "modify", 1, 1),)
    assert patch.size == 2


def test_format_patch_mail_is_read() -> None:
    mail = (
        b"From 123 Mon Sep 17\nSubject: [PATCH] x\n\n---\n src/shop.py | 2 +-\n\n" + GOOD + b"-- \n2.39.5\n\n"
    )
    assert parse_patch("mail", mail).paths == ("src/shop.py",)


def test_added_and_deleted_files_are_distinguished() -> None:
    new = b"diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x\n"
    gone = (
        b"diff --git a/o.py b/o.py\ndeleted file mode 100644\n--- a/o.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert [change.kind for change in parse_patch("both", new + gone).changes] == ["add", "delete"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "changes nothing"),
        (b"hello\n", "changes nothing"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\0b", "binary"),
        (b"x" * (3 << 20), "larger than"),
        (GOOD.replace(b"@@ -1,3 +1,3 @@", b"@@ -1,9 +1,9 @@"), "not a unified diff"),
        (GOOD + GOOD, "two places"),
        (body("a/../../etc/passwd", "b/../../etc/passwd"), "outside the repository"),
        (body("/etc/passwd", "/etc/passwd"), "must start with a/ and b/"),
        (body("a//etc/passwd", "b//etc/passwd"), "outside the repository"),
        (body("a/./x", "b/./x"), "outside the repository"),
        (body("a/x.py", "b/y.py"), "rename"),
        (body("a/.git/config", "b/.git/config"), "git's own files"),
        (body("a/sub/.GIT/hooks/x", "b/sub/.GIT/hooks/x"), "git's own files"),
        (body("a/C:x", "b/C:x"), "special name"),
        (body("a/--upload-pack=x", "b/--upload-pack=x"), "must not start with '-'"),
        (body('"a/\\303\\251.py"', '"b/\\303\\251.py"'), "quoted path"),
        (b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "mode"),
        (b"diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n", "rename"),
        (b"diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 1\nIcmZP\n\n", "binary"),
        (b"diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n", "binary"),
        (
            b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n",
            "symbolic link",
        ),
        (
            b"diff --git a/s b/s\nnew file mode 160000\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n+Subproject x\n",
            "submodule",
        ),
        (
            b"diff --git a/s b/s\nnew file mode 100755\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n+x\n",
            "mode 100755",
        ),
    ],
)
def test_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(PatchRefused, match=message):
        parse_patch("bad", data)


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_shop.py",
        "shop/tests/data/x.json",
        "test_shop.py",
        "shop_test.py",
        "deep/conftest.py",
        "Conftest.py",
        "pyproject.toml",
        "pytest.ini",
        ".github/workflows/x.yml",
        ".ci/run",
        "evil.pth",
        "sitecustomize.py",
        "poetry.lock",
        "requirements-dev.txt",
        "evil.egg-info/entry_points.txt",
        "a/b/evil.dist-info/METADATA",
        "pytest.py",
        "_pytest/runner.py",
        "json.py",
        "src/json.py",
        "re/__init__.py",
    ],
)
def test_protected_paths_need_human_review(path: str) -> None:
    assert protected_paths((path,)) == (path,)


@pytest.mark.parametrize(
    "path", ["shop.py", "src/shop/attest.py", "shop/json.py", "docs/testing.md", "README.md"]
)
def test_ordinary_files_are_not_protected(path: str) -> None:
    assert protected_paths((path,)) == ()


def test_protect_adds_patterns() -> None:
    assert protected_paths(("billing/tax.py", "shop.py"), ("billing/",)) == ("billing/tax.py",)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


LINES = [
    *GOOD.decode().splitlines(),
    "--- /dev/null",
    "+++ /dev/null",
    "+++ b/../x",
    "--- a/.git/config",
    "new file mode 120000",
    "rename to ../x",
    "GIT binary patch",
    "@@ -0,0 +1 @@",
    "\\ No newline at end of file",
    "diff --git a/x b/../../x",
    "diff --git x://y z://w",
    "Binary files x differ",
    "",
    "\f",
]


@given(st.lists(st.sampled_from(LINES), max_size=25), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_any_mixture_of_diff_lines_is_read_or_refused(lines: list[str], newline: str) -> None:
    read_or_refused(newline.join(lines).encode())


@given(st.data())
def test_damaged_patches_are_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    read_or_refused(bytes(damaged))


def read_or_refused(data: bytes) -> None:
    """Check that the parser returns safe paths or raises `PatchRefused`."""
    try:
        patch = parse_patch("fuzzed", data)
    except PatchRefused:
        return
    for change in patch.changes:
        parts = change.path.split("/")
        assert ".." not in parts
        assert "" not in parts
        assert ".git" not in [part.lower() for part in parts]
        assert not change.path.startswith("-")
        assert change.kind in ("add", "delete", "modify")
