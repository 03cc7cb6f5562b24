"""The text rules; users of other tools complained about each case."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import asked, at
from ucoder_lsp.completion import filters, stops
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.forms import Form


def insertion(raw: str, context: CompletionContext) -> str | None:
    return filters.insertion(raw, context, asked(context))


def stopper(context: CompletionContext) -> Callable[[str], int | None]:
    return stops.stopper(context, asked(context))


EMPTY = 'def f(x):\n    """Doc."""\n    |\n'


@pytest.mark.parametrize(
    ("marked", "raw", "inserted"),
    [
        # the block's own indentation, wherever the cursor is
        (EMPTY, "\n    return x\n", "return x"),
        ('def f(x):\n    """Doc."""|\n', "\n    return x\n", "\n    return x"),
        ('def f(x):\n    """Doc."""\n  |\n', "\n    return x\n", "  return x"),
        (EMPTY, "\n  y = x\n  return y\n", "y = x\n    return y"),
        (EMPTY, "\n    if x:\n        return 1\n    return 2\n\ndef g(): 1\n", "if x:\n        return 1\n    return 2"),
        # a second docstring, which chat models often write
        (EMPTY, '\n    """Say it."""\n    return x\n', "return x"),
        (EMPTY, '\n  """Say\n  it.\n  """\n\n  y = x\n  return y\n', "y = x\n    return y"),
        (EMPTY, '\n    """Say \'\'\'it\'\'\'."""\n    return x\n', "return x"),
        (EMPTY, '\n    """Say it."""\n', None),
        (EMPTY, '\n    return """a""" + x\n', 'return """a""" + x'),
        ("def f(x):\n    |\n", '\n    """Say it."""\n    return x\n', '"""Say it."""\n    return x'),
        # runaway text ends the body
        (EMPTY, "\n    return x\n```\nThis function", "return x"),
        (EMPTY, "\n    return x\n\n\n\n    print(1)\n", "return x"),
        # a word that the space already ended, a body on the header's line, nothing at all
        ("def f(x):\n    return |\n", "ed x\n", None),
        # a body that begins without its line break
        (EMPTY, " return x", "return x"),
        (EMPTY, "    y = x\n    return y", "y = x\n    return y"),
        (EMPTY, "\n    \n", None),
        # one space, never two
        ("def f(x):\n    return |\n", " x + 1\n", "x + 1"),
        ("def f(x):\n    return|\n", " x + 1\n", " x + 1"),
        ("x = self.it|\n", "ems\ny = 2", "ems"),
        # a complete line is left alone
        ("def f(x):\n    return x|\n", "\n```\n", None),
        # text right of the cursor is not written twice
        ("y = [n * | for n in z]\n", " n for n in z]\n", "n"),
        ("y = max(w, key=|)\n", "lambda x: len(x))\n", "lambda x: len(x)"),
        ("y = f(|)\n", "a, (b)\n", "a, (b)"),
        ('def f(x):\n    """Doc."""\n    |\n    return total\n', "\n    total = x\n    return total\n", "total = x"),
        # an open bracket carries the expression over the line end
        ("y = |\n", " [\n    1,\n    2,\n]\nz = 3\n", "[\n    1,\n    2,\n]"),
        # ... and a method requested without its class's indentation gets it back
        ("class A:\n    def f(self):\n        y = |\n", " [\n        1,\n\n    ]\n", "[\n            1,\n\n        ]"),
        ("class A:\n    def f(self):\n        y = [|\n", "\n        1,\n    ]\n", None),
        ("def f(x):\n    y = |\n", " [\n        1,\n    ]\n", "[\n        1,\n    ]"),
        ("class A:\n    def f(self):\n        y = 1\n        |\n", "\n    if y:\n        y = 2\n    return y\n",
         "if y:\n            y = 2\n        return y"),
        # loops of a small model
        (EMPTY, "\n    x += 1\n    x += 1\n    x += 1\n    x += 1\n", None),
    ],
)  # fmt: skip
def test_insertion(marked: str, raw: str, inserted: str | None) -> None:
    assert insertion(raw, at(marked)) == inserted


@pytest.mark.parametrize(
    ("marked", "raw", "inserted"),
    [
        # the next function is no body of this one
        (EMPTY, "\n\n\ndef g(x):\n    return 1\n", None),
        ("class A:\n    def f(self):\n        |\n", "\ndef g(x):\n    return 1\n", None),
        # neither is what a model writes behind a finished one
        ("def f(x):\n    y = []\n    |\n", "    return y\n\n# Check function\nprint(f(1))\n", "return y"),
        (EMPTY, "    return x\n    # Check function\n    print(f(1))\n", "return x"),
        (EMPTY, "    return (\n        x\n    )\n    y = 1\n", "return (\n        x\n    )"),
        (EMPTY, '    return """\na\n"""\n\n\ndef g(): 1\n', 'return """\na\n"""'),
        (EMPTY, "    if x:\n        return 1\n    return 2\n    y = 3\n", "if x:\n        return 1\n    return 2"),
        # a statement that ends the inner block cannot be written inside it
        ("def f(x):\n    for y in x:\n        |\n    return y\n", "    return 1\n", None),
        # ... but careless indentation is mended
        ("def f(x):\n    for y in x:\n        |\n    return y\n", "      print(y)\n", "print(y)"),
        # less white space than the block needs: the model says how deep the code is
        ("def f(x):\n    for y in x:\n        z = y\n|\n    return z\n", "        z += 1\n", "        z += 1"),
        ("def f(x):\n    for y in x:\n        z = y\n|\n    return z\n", "    z += 1\n", "    z += 1"),
        ("def f(x):\n    z = 0\n|\n    return z\n", "z += 1\n", None),
        # the lines behind the cursor are not written again
        ("def f(x):\n    |\n    y = x\n    return y\n", "    x += 1\n    y = x\n    return y\n", "x += 1"),
        ("def f(x):\n    |\n    return x\n", "    return x\n", None),
        # the document's own unit of indentation
        ("def f(x):\n\tfor y in x:\n\t\t|\n", "\t\tif y:\n\t\t    z()\n", "if y:\n\t\t\tz()"),
        ("def f(x):\n  for y in x:\n    |\n", "    if y:\n        z()\n", "if y:\n      z()"),
        # outside functions: one paragraph, or one definition
        ("class A:\n    x: int\n    |\n\n    def f(self): ...\n", "    y: int\n\n    def f(self): ...\n", "y: int"),
        ("|", "import os\n\nprint(os)\n", "import os"),
        ("|", "def f():\n    x = 1\n\n    return x\n\ndef g(): ...\n", "def f():\n    x = 1\n\n    return x"),
        ("x = 1\n|", "y = [\n\n1,\n\n2]\n", "y = [\n\n1,\n\n2]"),
        ("x = 1\n|", 'y = """\n\na\n"""\n', 'y = """\n\na\n"""'),
        # an empty document has no line to end
        ("|", "import os\n", "import os"),
        ("|", "\nimport os\n", "import os"),
    ],
)  # fmt: skip
def test_insertion_behind_a_line_break(marked: str, raw: str, inserted: str | None) -> None:
    context = at(marked)
    prompt = asked(context, form=Form.FILL, begun_line="")
    assert filters.insertion(raw, context, prompt) == inserted


@pytest.mark.parametrize(
    ("raw", "inserted"),
    [
        (" return x\n", "return x"),
        (" y = 1\n    return y\n", "y = 1\n    return y"),
        ("return x\n", "return x"),
    ],
)
def test_insertion_behind_a_begun_indentation(raw: str, inserted: str | None) -> None:
    """The prompt leaves the last space of the indentation to the first word."""
    context = at(EMPTY)
    assert filters.insertion(raw, context, asked(context, form=Form.FILL, begun_line="   ")) == inserted


def test_a_body_stops_at_its_dedent_and_not_before() -> None:
    stop = stopper(at(EMPTY))
    text = "\n    if x:\n        return 1\n    x = 2\n"
    assert stop(text) is None
    assert text[: stop(text + "\nclass A:\n")] == text[:-1] + "\n"


def test_a_line_stops_at_its_end() -> None:
    stop = stopper(at("def f(x):\n    return |\n"))
    assert stop(" x + 1") is None
    assert stop(" x + 1\n") == 6


@given(st.text("\n ()[]x=:'\"#`ab", max_size=60))
def test_an_inserted_body_that_parses_alone_keeps_the_document_parsable(raw: str) -> None:
    context = at(EMPTY)
    text = insertion(raw, context)
    if text is None:
        return
    assert text == text.rstrip()
    assert "\n\n\n\n" not in text
    first = text.split("\n")[0]
    assert first == first.lstrip(), "the cursor is already at the body's column"
    try:
        ast.parse("def f(x):\n    " + text + "\n")
    except (SyntaxError, ValueError):
        return
    ast.parse(context.prefix + text + context.suffix)
