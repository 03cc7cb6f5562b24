"""The programs of candidates: static tiers, slices, and broken documents around them."""

from __future__ import annotations

import ast

import pytest

from tests.support.cursor import at
from ucoder_lsp.completion.document_slice import Tier, prepare, stub

DOCUMENT = """from __future__ import annotations
import no_such_module
import os

LIMIT = 3
CONNECTION = no_such_module.connect()
print("starting the server")


def f(x: int) -> int:
    \"\"\"Doc.\"\"\"
    |


class A:
    def g(self):
        return LIMIT


if __name__ == "__main__":
    raise SystemExit(f(1))
"""


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("return x + LIMIT", Tier.RESOLVES),
        ("return A().g()", Tier.RESOLVES),
        ("return y", Tier.PARSES),
        ("import re\n    return re.escape(str(x))", Tier.RESOLVES),
        ("return (x", Tier.BROKEN),
        ("return x\n```", Tier.BROKEN),
        ("\x00", Tier.BROKEN),
    ],
)
def test_static_tier(text: str, tier: Tier) -> None:
    assert prepare(text, at(DOCUMENT)).tier is tier


def test_the_program_keeps_definitions_and_drops_actions() -> None:
    source = prepare("return x + LIMIT", at(DOCUMENT)).source
    assert "def f" in source
    assert "class A" in source
    assert "print" not in source
    assert "SystemExit" not in source
    # A failing import or constant loses only its own name. The text is this test's own, so it may run here.
    namespace: dict[str, object] = {}
    exec(compile(source, "slice", "exec"), namespace)
    assert namespace["f"](4) == 7  # type: ignore[operator]


def test_broken_statements_elsewhere_are_left_out() -> None:
    context = at("def broken(:\n    x = = 1\n\n\n" + DOCUMENT)
    runnable = prepare("return x", context)
    assert runnable.tier is Tier.RESOLVES
    assert "broken" not in runnable.source


@pytest.mark.parametrize(
    "marked",
    [
        'def f(x: int) -> int:\n    """Doc."""\n    |\n',
        'def f(x: int) -> int:\n    """Doc."""|\n',
        'def f(x: int) -> int:\n    """Doc."""\n    return |\n',
        'def f(x: int) -> int:\n    """Doc."""\n    return max(x, key=|)\n',
        'def f(x: int) -> int:\n    """Doc."""\n    if |\n',
        'def f(x: int) -> int:\n    """Doc."""\n    for i in |:\n        print(i)\n',
        'def f(x: int) -> int:\n    """Doc."""\n    y = [a * | for a in x]\n    return y\n',
    ],
)
def test_a_stub_has_the_signature_and_the_docstring(marked: str) -> None:
    tree = ast.parse(stub(at(marked)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert ast.get_docstring(function) == "Doc."
    assert ast.unparse(function.args) == "x: int"


def test_there_is_no_stub_outside_a_function() -> None:
    assert stub(at("x = |\n")) == ""
