"""The context of a cursor in unfinished documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import at
from ucoder_lsp.completion.context import CursorError, Shape, context_at


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
        # A lambda is an expression of the enclosing function.
        ("def f(x):\n    return sorted(x, key=lambda y: |)\n", Shape.LINE, "    ", "f"),
        ("f = lambda x: |\n", Shape.LINE, "", None),
        # Broken code above does not hide the function below.
        ('def f(x:\n    a = (\n\ndef g(x):\n    """Hi."""\n    |\n', Shape.BODY, "    ", "g"),
    ],
)
def test_shape_indent_and_function(marked: str, shape: Shape, indent: str, function: str | None) -> None:
    context = at(marked)
    assert (context.shape, context.indent, context.function) == (shape, indent, function)


@pytest.mark.parametrize(
    ("marked", "shape", "indent", "function"),
    [
        # An empty line inside a function belongs to it, whatever white space the editor left there.
        ("def f(x):\n    y = 0\n|\n    return y\n", Shape.BLOCK, "    ", "f"),
        ("def f(x):\n    for y in x:\n|\n        print(y)\n", Shape.BLOCK, "        ", "f"),
        ("def f(x):\n    for y in x:\n|\n    return 1\n", Shape.BLOCK, "        ", "f"),
        ("def f(x):\n\tfor y in x:\n|\n\treturn 1\n", Shape.BLOCK, "\t\t", "f"),
        ("def f(x):\n    if x:\n        y = 1\n\n|\n    return y\n", Shape.BLOCK, "        ", "f"),
        ("class A:\n    x: int\n|\n    y: int\n", Shape.BLOCK, "    ", None),
        ("def f(x):\n|", Shape.BODY, "    ", "f"),
        ('def f(x):\n    """Doc."""\n|\n\nx = 1\n', Shape.BODY, "    ", "f"),
        # Below a finished function it is the module's.
        ("def f(x):\n    return x\n|\n", Shape.BLOCK, "", None),
        ("def f(x):\n    return x\n\n|\n\ndef g(x):\n    return x\n", Shape.BLOCK, "", None),
    ],
)
def test_an_empty_line_belongs_to_the_code_around_it(
    marked: str, shape: Shape, indent: str, function: str | None
) -> None:
    context = at(marked)
    assert (context.shape, context.indent, context.function) == (shape, indent, function)


@pytest.mark.parametrize(
    ("marked", "prose"),
    [
        ("def f(x):\n    # multiply |\n    return x\n", True),
        ("def f(x):\n    return x  # because |\n", True),
        ("# |", True),
        ('def f(x):\n    """Return |"""\n    return x\n', True),
        ('def f(x):\n    """Return |\n    return x\n', True),
        ('"""Tools for |"""\n', True),
        ("f(\n    # first |\n    1)\n", True),
        ("def f(x):\n    return 'hello |'\n", False),
        ("def f(x):\n    return f'hello |'\n", False),
        ("def f(x):\n    return '#' + |\n", False),
        ("def f(x):\n    # multiply\n    |\n", False),
        ('def f(x):\n    """Return."""\n    |\n', False),
        ("|", False),
    ],
)
def test_prose_is_told_from_code(marked: str, prose: bool) -> None:
    assert at(marked).prose == prose


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        (5, 0, "Line 6 is outside the document, which has 2 lines"),
        (0, 9, "Column 10 is outside line 1"),
        (-1, 0, "Line 0"),
    ],
)
def test_cursor_outside_the_document_is_one_sentence(line: int, column: int, message: str) -> None:
    with pytest.raises(CursorError, match=message):
        context_at("x = 1\n", line, column)


PYTHONISH = st.lists(
    st.sampled_from(
        [
            *("def f(x):", "class A:", "async ", "lambda y: ", "if x:", "return ", "pass", "# c"),
            *("    ", "\t", "\n", "\r", "\x0c", '"""', "'", "(", ")", ":", "x", "é"),
        ]
    ),
    max_size=30,
).map("".join)


@given(PYTHONISH, PYTHONISH)
def test_any_document_has_a_context_at_any_cursor(before: str, after: str) -> None:
    text = before + after
    context = context_at(text, before.count("\n"), len(before) - (before.rfind("\n") + 1))
    assert context.prefix + context.suffix == text
    assert not context.indent.strip()


@pytest.mark.parametrize(
    ("marked", "stated", "begun", "documented"),
    [
        # an empty function: its signature
        ('# a\ndef f(x):\n    """Do."""\n    |\n', '# a\ndef f(x):\n    """Do."""\n    ', "def f(x):", True),
        ("def f(x) -> int:  # why\n    |\n", "def f(x) -> int:  # why\n    ", "def f(x) -> int:", False),
        ("def f(x):\n    # how\n    pass\n    |", "def f(x):\n    # how\n    pass\n    ", "def f(x):", False),
        ("@c\nasync def f(\n  x,\n):\n    |\n", "@c\nasync def f(\n  x,\n):\n    ", "async def f(\n  x,\n):", False),
        # as far as it is written
        ('def f(x):\n    """Do."""\n    y = 1\n    |', 'def f(x):\n    """Do."""', "def f(x):\n    y = 1\n    ", True),
        ("# z\ndef f(x):\n    return |y\n", "# z\ndef f(x):", "def f(x):\n    return ", False),
        ("def f(x): return |", "def f(x):", "def f(x): return ", False),
        ("@c\nasync def f(x):  # why\n    y = |", "@c\nasync def f(x):", "async def f(x):  # why\n    y = ", False),
        # without its class's indentation
        (
            'class A:\n    def f(self):\n        """Do."""\n        if self:\n            |\n',
            'class A:\n    def f(self):\n        """Do."""',
            "def f(self):\n    if self:\n        ",
            True,
        ),
        ("def f(x):\n\tdef g(y):\n\t\treturn |\n", "def f(x):\n\tdef g(y):", "def g(y):\n\treturn ", False),
        # in the docstring, in the signature, outside
        ('def f(x):\n    """Doc|."""\n', "def f(x):", 'def f(x):\n    """Doc', False),
        ("def f(x, |):\n    pass\n", "", "", False),
        ("def f(x|):\n    pass\n", "", "", False),
        ("class A:\n    x = |\n", "", "", False),
        ("x = 1\n|", "", "", False),
    ],
)  # fmt: skip
def test_stated_and_begun_parts_of_a_function(marked: str, stated: str, begun: str, documented: bool) -> None:
    context = at(marked)
    assert (context.stated, context.begun, context.documented) == (stated, begun, documented)


@given(PYTHONISH, PYTHONISH)
def test_the_stated_part_is_before_the_cursor_and_the_begun_part_ends_there(before: str, after: str) -> None:
    text = before + after
    context = context_at(text, before.count("\n"), len(before) - (before.rfind("\n") + 1))
    assert context.prefix.startswith(context.stated)
    if context.begun and context.shape is not Shape.BODY:
        assert context.begun.startswith(("def ", "async def "))
        written = context.prefix[len(context.stated) :]
        assert context.begun.split("\n")[-1].strip().endswith(written.split("\n")[-1].strip())
