"""Normal forms, touched functions, and bundles of modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.bundle import BundleError, Tree, bundle, module_name
from ci.changes import form_of, is_public, normal_form, shape, touched, users

SOURCE = '''\
"""Doc."""
import os

RATE = 7


def helper(n: int) -> int:
    """Twice n."""
    double: int = n * 2
    return double


def public(values: list[int]) -> list[int]:
    return [helper(v) for v in values]


class Box:
    size = 3

    def area(self) -> int:
        return self.size * RATE

    def _secret(self):
        return self.area()
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""\n', ""),
        ('    """Twice n."""\n', "    # twice\n"),
        ("double", "twice"),
        ("(n: int) -> int", "(n)"),
        ("double: int = ", "double = "),
        ("for v in values]", "for  v in  values ]  # all"),
        ("    return double", "    pass\n    return double"),
        ("(n: int)", "(number)"),
    ],
)
def test_what_does_not_count_as_another_program(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    if "(number)" in new:
        changed = changed.replace("n * 2", "number * 2")
    if new == "twice":
        assert "double" not in changed
    assert changed != SOURCE
    assert normal_form(changed) == normal_form(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n * 2", "n * 3"),
        ("n * 2", "n + n"),
        ("RATE = 7", "RATE = 8"),
        ("import os", "import sys"),
        ("self.size * RATE", "RATE * self.size"),
        ("size = 3", "size = 4"),
    ],
)
def test_what_counts_as_another_program(old: str, new: str) -> None:
    assert normal_form(SOURCE.replace(old, new)) != normal_form(SOURCE)


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True))
def test_the_name_of_a_local_never_counts(name: str) -> None:
    source = "def f(a):\n    {0} = a + 1\n    return {0}\n"
    try:
        compile(source.format(name), "x", "exec")
    except SyntaxError:
        return  # a keyword
    if name != "a":
        assert normal_form(source.format(name)) == normal_form(source.format("q"))


@given(st.text(max_size=60))
def test_any_text_has_a_form(text: str) -> None:
    assert normal_form(text) == normal_form(text)
    shape(text)


def test_the_form_of_a_patch_leaves_out_documentation() -> None:
    assert form_of({"a.py": "x = 1"}) == form_of({"a.py": "x = 1  # one", "README.md": "new"})
    assert form_of({"a.py": "x = 1"}) != form_of({"b.py": "x = 1"})
    assert form_of({"a.py": None}) != form_of({"a.py": ""})


@pytest.mark.parametrize(
    ("old", "new", "functions"),
    [
        ("n * 2", "n * 3", {"helper"}),
        ("RATE = 7", "RATE = 8", {"Box.area"}),
        ("size = 3", "size = 4", {"Box.area"}),
        ("import os", "import os, sys", set()),
        ("Twice", "Two times", set()),
        ("RATE = 7\n", "RATE = 7\nprint('hi')\n", {"helper", "public", "Box.area", "Box._secret"}),
        ("def helper", "def renamed", {"helper"}),
    ],
)
def test_touched_functions(old: str, new: str, functions: set[str]) -> None:
    before, after = shape(SOURCE), shape(SOURCE.replace(old, new))
    assert before is not None
    assert after is not None
    assert touched(before, after) == functions


def test_users_are_found_through_others() -> None:
    module = shape(SOURCE)
    assert module is not None
    assert users(module, ["helper"]) == {"helper", "public"}
    assert users(module, ["Box.area"]) == {"Box.area", "Box._secret"}
    assert not is_public("Box._secret")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.py", "a"),
        ("src/a/b.py", "a.b"),
        ("a/__init__.py", "a"),
        ("src/a/__init__.py", "a"),
        ("bad-name/x.py", None),
    ],
)
def test_module_names(path: str, name: str | None) -> None:
    assert module_name(path) == name


def test_a_bundle_runs_without_its_files(tmp_path: Path) -> None:
    """Relative and absolute imports, packages without __init__, and characters of every width."""
    files = {
        "src/pkg/__init__.py": "from .a import f\n",
        "src/pkg/a.py": "from . import b\nfrom .sub.c import K\nimport pkg.d as d\n"
        "def f(x):\n    return b.g(x) + K + d.D\n",
        "src/pkg/b.py": 'def g(x):\n    return x + len("\N{GRINNING FACE}\u00e9\\\\")\n',
        "src/pkg/sub/c.py": "K = 10\n",
        "src/pkg/d.py": "D = 100\n",
        "src/pkg/unused.py": "raise SystemExit\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    tree = Tree.read(tmp_path)
    assert "link" not in tree.modules
    text = bundle(tree, "pkg.a")
    assert text.isascii()
    assert "SystemExit" not in text
    script = tmp_path / "elsewhere.py"
    script.write_text(text + "print(f(1))\n")
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, cwd="/", check=True)
    assert done.stdout == "114\n"


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no module nothing"):
        bundle(Tree.read(tmp_path), "nothing")
