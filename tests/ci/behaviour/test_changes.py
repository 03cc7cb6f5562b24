"""Touched functions, the functions that use them, and bundles of modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.behaviour.bundle import BundleError, Tree, bundle, module_name
from ci.behaviour.changes import is_public, module_shape, touched_functions, users_of
from tests.ci.sample_module import SOURCE

ALL = {"helper", "public", "Box.area", "Box._secret"}


@given(st.text(max_size=60))
def test_any_text_has_a_shape_or_none(text: str) -> None:
    module_shape(text)


@pytest.mark.parametrize(
    ("old", "new", "functions"),
    [
        ("n * 2", "n * 3", {"helper"}),
        ("RATE = 7", "RATE = 8", {"Box.area"}),
        ("size = 3", "size = 4", {"Box.area", "Box._secret"}),
        ("import os", "import os, sys", set()),
        ("import os", "import os, evil", ALL),
        ("import os", "from . import evil", ALL),
        ("import os", "from os import *", ALL),
        ("import os", "from math import fsum as helper", {"helper", "public"}),
        ("import os", "import os\n\n_done = globals().update(helper=abs)", ALL),
        ("import os", "import os\n\n_new: f() = 1", ALL),
        ("import os", "import os\n\ndef new(_=globals().update(helper=abs)): ...", ALL),
        ("import os", "import os\n\n@globals().update\ndef new(): ...", ALL),
        ("import os", "import os\n\nclass New(metaclass=evil): ...", ALL),
        ("import os", "import os\n\nclass New:\n    def __class_getitem__(cls, n): ...", ALL),
        ("import os", "import os\n\nclass New:\n    def close(self, n: list[int] = 1): ...", set()),
        ("import os", "import os\n\n__builtins__ = os", ALL),
        ("import os", "import os\n\nNEW: int = -3", set()),
        ("import os\n\nRATE = 7", "RATE = 7\n\nimport os", ALL),
        ("RATE = 7", "RATE = 7\nRATE = 7", ALL),
        ("    return double", "    return v1", {"helper"}),
        ("(n: int)", "(number: int)", {"helper", "public"}),
        ("class Box:", "class Box(dict):", {"Box.area", "Box._secret"}),
        ("Twice", "Two times", set()),
        ("RATE = 7\n", "RATE = 7\nprint('hi')\n", ALL),
        ("def helper", "def renamed", {"helper", "public"}),
    ],
)
def test_touched_functions(old: str, new: str, functions: set[str]) -> None:
    before, after = module_shape(SOURCE), module_shape(SOURCE.replace(old, new))
    assert before is not None
    assert after is not None
    assert touched_functions(before, after) == functions


def test_a_constant_touches_what_is_computed_from_it() -> None:
    source = (
        "RATE = 7\n\nDEFAULT = RATE\n\n\ndef f(n):\n    return n * DEFAULT\n\n\ndef g(n):\n    return n\n"
    )
    before, after = module_shape(source), module_shape(source.replace("7", "8"))
    assert before is not None
    assert after is not None
    assert touched_functions(before, after) == {"f"}
    called = module_shape(source.replace("DEFAULT = RATE", "DEFAULT = round(RATE)"))
    after = module_shape(source.replace("DEFAULT = RATE", "DEFAULT = round(RATE)").replace("7", "8"))
    assert called is not None
    assert after is not None
    assert touched_functions(called, after) == {"f", "g"}


def test_each_imported_name_is_a_separate_change() -> None:
    source = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import x\n\n\ndef f(n): ...\n"
    before, after = (
        module_shape(source),
        module_shape(source.replace("TYPE_CHECKING\n", "TYPE_CHECKING, Any\n", 1)),
    )
    assert before is not None
    assert after is not None
    assert touched_functions(before, after) == set()


def test_a_special_method_that_changes_touches_everything() -> None:
    source = SOURCE + "\n    def __eq__(self, other):\n        return True\n"
    before, after = module_shape(source), module_shape(source.replace("True", "False"))
    assert before is not None
    assert after is not None
    assert touched_functions(before, after) == {*ALL, "Box.__eq__"}


def test_users_are_found_through_others() -> None:
    module = module_shape(SOURCE)
    assert module is not None
    assert users_of(module, ["helper"]) == {"helper", "public"}
    assert users_of(module, ["Box.area"]) == {"Box.area", "Box._secret"}
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


def test_of_two_files_with_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    for name in ("shop.py", "src/shop.py", "both.py", "both/__init__.py", "src/only.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    tree = Tree.read(tmp_path)
    assert {file for file, _ in tree.modules.values()} == {"shop.py", "both/__init__.py", "src/only.py"}
    assert tree.hidden == {"src/shop.py", "both.py"}


def test_a_missing_module_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no module nothing"):
        bundle(Tree.read(tmp_path), "nothing")


USERS = """\
def _twice(n):
    return n * 2


def direct(n):
    return _twice(n)


def namesake(n):
    return n._twice + n.get("_twice")


def local(_twice):
    return _twice


def elsewhere(n):
    from other import _twice

    return _twice(n)


def inside(n):
    def _twice(n): ...

    return _twice(n)


class One:
    def __init__(self, n):
        self.n = self._check(n)

    def _check(self, n):
        return n

    def get(self):
        return self.n

    def same(self, other):
        return other._check(1)


class Two:
    def _check(self, n):
        return n

    def get(self):
        return self._check(1)


def make(n):
    return One(n).n
"""


def test_users_are_not_namesakes() -> None:
    module = module_shape(USERS)
    assert module is not None
    assert users_of(module, ["_twice"]) == {"_twice", "direct"}
    assert users_of(module, ["Two._check"]) == {"Two._check", "Two.get"}
    made = {"One.__init__", "One.get", "One.same", "make"}
    assert users_of(module, ["One.__init__"]) == {*made, "One._check"}
    assert users_of(module, ["One._check"]) == {*made, "One._check"}
