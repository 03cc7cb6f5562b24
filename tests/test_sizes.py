"""Limit modules to 400 lines and functions to 60; class names differ.

A longer function needs a reason on its `def` line.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    path for package in ("sandbox", "ucoder_lsp", "trainer", "ci") for path in (ROOT / package).rglob("*.py")
]
MAX_MODULE, MAX_FUNCTION = 400, 60
REASON = "# long: "
"""The comment on the `def` line of a longer function; the reason follows."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_have_a_readable_size(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = text.splitlines()
    assert len(lines) <= MAX_MODULE, f"{path.relative_to(ROOT)} has {len(lines)} lines: split it by idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and REASON not in lines[node.lineno - 1]:
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= MAX_FUNCTION, f"{path.relative_to(ROOT)}: {node.name} has {size} lines"


def test_no_two_classes_share_a_name() -> None:
    found: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
