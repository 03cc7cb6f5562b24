"""Where the cursor stands, read from unfinished documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import at
from ucoder_lsp.completion.context import CursorError, Shape, describe


@pytest.mark.parametrize(
    ("marked", "shape", "indent", "function"),
    [
        ('def f(x):\n    """Doc."""\n    |\n', Shape.BODY, "    ", "f"),
        ('def f(x):\n    """Doc."""|\n', Shape.BODY, "    ", "f"),
        ("def f(x):|\n", Shape.BODY, "    ", "f"),
        ("def f(x):\n    |\n    pass\n", Shape.BODY, "    ", "f"),
        ("def f(x):\n    # a comment\n    |\n", Shape.BODY, "    ", "f"),
        ('async def f(x):\n\t"""Doc."""\n\t|\n', Shape.BODY, "\t", "f"),
        ('class A:\n    def f(self):\n        """Do."""\n        |\n', Shape.BODY, "        ", "A.f"),
        ("class A:\n    class B:\n        def f(self):\n            |\n", Shape.BODY, " " * 12, "A.B.f"),
        ("def f(x):\n    y = x\n    |\n", Shape.BLOCK, "    ", "f"),
        ("x = 1\n|", Shape.BLOCK, "", None),
        ("def f(x):\n    return |\n", Shape.LINE, "    ", "f"),
        ("def f(x):\n    y = sum(|)\n    return y\n", Shape.LINE, "    ", "f"),
        ('def f(x):\n    """Doc.\n    def g():\n    """\n    return x |\n', Shape.LINE, "    ", "f"),
        # The sandbox cannot call a function inside a function.
        ("def f(x):\n    def g(y):\n        |\n    return g\n", Shape.BODY, "        ", None),
        # Broken code above does not hide the function below.
        ('def f(x:\n    a = (\n\ndef g(x):\n    """Hi."""\n    |\n', Shape.BODY, "    ", "g"),
    ],
)
def test_shape_indent_and_function(marked: str, shape: Shape, indent: str, function: str | None) -> None:
    context = at(marked)
    assert (context.shape, context.indent, context.function) == (shape, indent, function)


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        (5, 0, "Line 6 is outside the document, which has 2 lines"),
        (0, 9, "Column 10 is outside line 1"),
        (-1, 0, "Line 0"),
    ],
)
def test_cursor_outside_the_document_is_one_sentence(line: int, column: int, says: str) -> None:
    with pytest.raises(CursorError, match=says):
        describe("x = 1\n", line, column)


PYTHONISH = st.lists(
    st.sampled_from(
        ["def f(x):", "class A:", "    ", "\n", '"""', "return ", "(", ")", "x", "'", "if x:", "\t", ":", "é"]
    ),
    max_size=30,
).map("".join)


@given(PYTHONISH, PYTHONISH)
def test_any_document_has_a_context_at_any_cursor(before: str, after: str) -> None:
    text = before + after
    context = describe(text, before.count("\n"), len(before) - (before.rfind("\n") + 1))
    assert context.prefix + context.suffix == text
    assert not context.indent.strip()


@pytest.mark.parametrize(
    ("marked", "header", "documented"),
    [
        ('def f(x):\n    """Doc."""\n    |\n', "def f(x):", True),
        ("def f(x) -> int:  # why\n    |\n", "def f(x) -> int:", False),
        (
            "@cached\nasync def f(\n    x: int,\n) -> int:\n    |\n",
            "async def f(\n    x: int,\n) -> int:",
            False,
        ),
        ('class A:\n    def f(self):\n        """Do."""\n        |\n', "def f(self):", True),
        ('def f(x):\n    """Doc."""\n    y = x\n    |\n', "", False),
        ("def f(x):\n    return |\n", "", False),
        ("x = 1\n|", "", False),
    ],
)
def test_the_header_of_an_empty_function(marked: str, header: str, documented: bool) -> None:
    context = at(marked)
    assert (context.header, context.documented) == (header, documented)
