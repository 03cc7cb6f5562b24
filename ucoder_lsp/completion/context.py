"""The context of a cursor: extent of the completion and enclosing function.

The document is unfinished, so it is parsed with parso, which recovers from errors. A placeholder name is put at the
cursor, and the scopes around it are looked up. Nothing here runs code or uses the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import parso
from parso.python.tree import Class, Function, Module
from parso.tree import NodeOrLeaf
from parso.utils import split_lines

HOLE = "ucoder_hole"


class CursorError(ValueError):
    """The cursor is not in the document.

    The message holds the document's limits.
    """


class Shape(StrEnum):
    """The extent of a completion."""

    BODY = "body"
    """The whole body of a function that is empty or has only a docstring."""
    BLOCK = "block"
    """From an empty line after other statements to the end of the block."""
    LINE = "line"
    """From behind some text to the end of the line."""


@dataclass(frozen=True, slots=True)
class CompletionContext:
    """The description of one cursor position."""

    prefix: str
    """The document up to the cursor."""
    suffix: str
    """The document from the cursor on."""
    shape: Shape
    indent: str
    """Indentation of the code to be written (BODY and BLOCK) or of the cursor's line (LINE)."""
    function: str | None
    """The enclosing function, dotted through its classes (`Stack.push`); None outside, or inside a nested one."""
    stated: str = ""
    """The document up to the body of the enclosing function, with its signature and docstring; empty outside."""
    begun: str = ""
    """The function as far as it is written, without its docstring and its own indentation. For an empty one (BODY)
    this is its `def` up to the colon."""
    documented: bool = False
    """Whether a docstring of that function precedes the cursor."""

    @property
    def line_suffix(self) -> str:
        """The text right of the cursor in its line."""
        return self.suffix.split("\n", 1)[0]

    @property
    def gap(self) -> str:
        """The white space between the last code and the cursor."""
        return self.prefix[len(self.prefix.rstrip()) :]


def context_at(text: str, line: int, column: int) -> CompletionContext:
    """Return the context of a cursor at 0-based `line` and `column`.

    Columns are in characters. Raises `CursorError` when the position is not in the document.
    """
    prefix, suffix = _split(text, line, column)
    line_prefix = prefix.rsplit("\n", 1)[-1]
    scopes = _scopes(prefix, suffix)
    function = scopes[-1] if scopes and isinstance(scopes[-1], Function) else None
    alone = not line_prefix.strip() and not suffix.split("\n", 1)[0].strip()
    header_only = function is not None and _body_is_empty(function)

    if header_only and (alone or _ends_header(prefix, suffix)):
        assert function is not None
        shape, indent = Shape.BODY, _body_indent(function, split_lines(text), line_prefix)
    elif alone:
        shape, indent = Shape.BLOCK, line_prefix
    else:
        shape, indent = Shape.LINE, leading_space(line_prefix)
    parts = ("", "", False) if function is None else _stated_and_begun(function, prefix, shape)
    return CompletionContext(prefix, suffix, shape, indent, _dotted(scopes), *parts)


def _split(text: str, line: int, column: int) -> tuple[str, str]:
    lines = text.split("\n")
    if not 0 <= line < len(lines):
        raise CursorError(f"Line {line + 1} is outside the document, which has {len(lines)} lines.")
    if not 0 <= column <= len(lines[line]):
        raise CursorError(
            f"Column {column + 1} is outside line {line + 1}, which has {len(lines[line])} characters."
        )
    offset = sum(len(each) + 1 for each in lines[:line]) + column
    return text[:offset], text[offset:]


def _scopes(prefix: str, suffix: str) -> list[Class | Function]:
    """Return classes and functions around the cursor, outermost first.

    Lambdas, which are functions to parso, are left out.
    """
    # Right behind a docstring the placeholder needs a separator to be a statement of its own.
    separator = ";" if prefix.endswith(('"', "'")) and not suffix.split("\n", 1)[0].strip() else ""
    module: Module = parso.parse(prefix + separator + HOLE + suffix)
    line, column = prefix.count("\n") + 1, len(prefix) + len(separator) - (prefix.rfind("\n") + 1)
    node: NodeOrLeaf | None = module.get_leaf_for_position((line, column), True)
    found: list[Class | Function] = []
    while node is not None:
        if isinstance(node, Class | Function) and node.type != "lambdef":
            found.append(node)
        node = node.parent
    found.reverse()
    return found


def _dotted(scopes: list[Class | Function]) -> str | None:
    """Return `Class.method` or `function`, or None.

    The sandbox cannot call a nested function by name.
    """
    if not scopes or not isinstance(scopes[-1], Function):
        return None
    if any(isinstance(scope, Function) for scope in scopes[:-1]):
        return None
    return ".".join(scope.name.value for scope in scopes)


def _body_is_empty(function: Function) -> bool:
    """Return whether the body holds only the placeholder, and perhaps a docstring."""
    body = function.children[-1].get_code()
    first = function.get_doc_node()
    if first is not None:
        body = body.replace(first.get_code(), "", 1)
    words = [line.split("#", 1)[0].strip(" \t;") for line in body.splitlines()]
    return [word for word in words if word and word not in ("pass", "...")] == [HOLE]


def _stated_and_begun(function: Function, prefix: str, shape: Shape) -> tuple[str, str, bool]:
    """Return `stated`, `begun` and `documented` of the context.

    They are empty while the cursor is in the signature.
    """
    lines = split_lines(prefix, keepends=True)

    def before(position: tuple[int, int]) -> str:
        """Return the document up to a 1-based line and 0-based column."""
        line, column = position
        return "".join([*lines[: line - 1], lines[line - 1][:column]])

    def is_written(node: NodeOrLeaf) -> bool:
        return node.end_pos <= (len(lines), len(lines[-1]))

    *signature, _ = function.children
    doc = function.get_doc_node()
    if not is_written(signature[-1]):
        return "", "", False
    documented = doc is not None and is_written(doc)
    empty = shape is Shape.BODY  # a comment, or a `pass` to be replaced, is part of `stated`
    stated = prefix if empty else before((doc if documented else signature[-1]).end_pos)
    is_async = function.parent is not None and function.parent.type in ("async_stmt", "async_funcdef")
    keyword, *others = signature
    code = keyword.get_code(include_prefix=False) + "".join(child.get_code() for child in others)
    begun = ("async " if is_async else "") + code + ("" if empty else prefix[len(stated) :])
    own = leading_space(lines[function.start_pos[0] - 1])
    return stated, "\n".join(line.removeprefix(own) for line in begun.split("\n")), documented


def _ends_header(prefix: str, suffix: str) -> bool:
    """Return whether the line ends behind `def f():` or its docstring."""
    return not suffix.split("\n", 1)[0].strip() and prefix.rstrip().endswith((":", '"""', "'''", '"', "'"))


def leading_space(text: str) -> str:
    """Return a text's leading white space: the indentation of a line."""
    return text[: len(text) - len(text.lstrip())]


def _body_indent(function: Function, lines: list[str], line_prefix: str) -> str:
    """Return the indentation of the body.

    It is the docstring's, else the cursor's, else one step deeper than the header.
    """
    header = leading_space(lines[function.start_pos[0] - 1])
    doc = function.get_doc_node()
    if doc is not None and doc.start_pos[0] > function.start_pos[0]:
        return lines[int(doc.start_pos[0]) - 1][: int(doc.start_pos[1])]
    if not line_prefix.strip() and len(line_prefix) > len(header):
        return line_prefix
    return header + ("\t" if "\t" in header else "    ")
