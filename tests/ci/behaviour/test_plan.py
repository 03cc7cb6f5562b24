"""The choice of functions to compare, and the gaps."""

from __future__ import annotations

import pytest

from ci.behaviour.bundle import Tree
from ci.behaviour.plan import plan_comparison
from tests.ci.git_project import SHOP, UNSEEN

SOURCE = """\
def _twice(n: int) -> int:
    return n * 2


def double(n: int) -> int:
    return _twice(n)
"""


def tree(source: str) -> Tree:
    return Tree({"m": ("m.py", source)})


def test_a_private_function_is_shown_by_its_users() -> None:
    patched = {0: tree(SOURCE.replace("n * 2", "n + n"))}
    plan = plan_comparison(tree(SOURCE), patched, {0: ("m.py",)}, with_new=False)
    assert [function.name for function in plan.functions] == ["m.double"]
    assert plan.shown_by == {"m._twice": {"m.double"}}


@pytest.mark.parametrize("case", UNSEEN)
def test_a_function_that_a_patch_breaks_elsewhere_is_compared(case: str) -> None:
    """Plan each change alone; tests/ci/test_gate.py judges them end to end."""
    patched = {0: tree(UNSEEN[case])}
    plan = plan_comparison(tree(SHOP), patched, {0: ("m.py",)}, with_new=False)
    assert "m.total" in plan.shown_by
    assert "m.total" in [function.name for function in plan.functions]


def test_nothing_shows_an_unused_function_of_a_refactoring() -> None:
    base = tree(SOURCE)
    half = "def half(n):\n    return half(n) // 2\n\n\n"
    unused = {0: tree(half + SOURCE)}
    used = {0: tree(half + SOURCE.replace("return _twice(n)", "return _twice(half(n))"))}
    assert plan_comparison(base, unused, {0: ("m.py",)}, with_new=False).shown_by == {"m.half": frozenset()}
    assert plan_comparison(base, used, {0: ("m.py",)}, with_new=False).shown_by.keys() == {"m.double"}
    moved = {0: Tree({"m": ("m.py", SOURCE), "new": ("new.py", half)})}
    assert plan_comparison(base, moved, {0: ("new.py",)}, with_new=False).shown_by == {
        "new.half": frozenset()
    }
    moved = {0: Tree({"m": ("m.py", SOURCE.replace("def double", "from new import half\n\n\ndef double"))})}
    moved[0].modules["new"] = ("new.py", half)
    assert "new.half" not in plan_comparison(base, moved, {0: ("m.py", "new.py")}, with_new=False).shown_by


def test_files_that_cannot_be_read_are_gaps() -> None:
    base = Tree({"m": ("m.py", "def f(:\n"), "n": ("n.py", "")}, hidden=frozenset({"src/n.py"}))
    planned = plan_comparison(
        base, {0: base}, {0: ("m.py", "n.py", "src/n.py", "bad-name.py")}, with_new=False
    )
    assert planned.shown_by.keys() == {"m.py", "src/n.py", "bad-name.py"}
