"""The context of a cursor: extent of the completion and enclosing function.

The document is unfinished, so it is parsed with parso, which recovers from errors. A placeholder name is put at the
cursor, and the scopes around it are looked up. Nothing here runs code or uses the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    written: str = ""
    """The function as far as it is written, with its docstring, without its own indentation."""
    margin: str | None = None
    """Indentation of the header of the enclosing function; None outside. Code that is not deeper ends the function."""
    open_indent: bool = False
    """Whether the cursor's line has less white space than its code needs: the model's own indentation then counts."""
    prose: bool = False
    """Whether the cursor is in a comment or a docstring, where no text changes behaviour."""

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
    alone = not line_prefix.strip() and not suffix.split("\n", 1)[0].strip()
    column_of_code = block_indent(prefix, suffix) if alone else leading_space(line_prefix)
    leaf = _leaf_at_cursor(prefix, suffix, column_of_code.removeprefix(line_prefix) if alone else "")
    scopes = _scopes(leaf)
    function = scopes[-1] if scopes and isinstance(scopes[-1], Function) else None

    if function is not None and _body_is_empty(function) and (alone or _ends_header(prefix, suffix)):
        shape, indent = Shape.BODY, _body_indent(function, split_lines(text), line_prefix)
    else:
        shape, indent = Shape.BLOCK if alone else Shape.LINE, column_of_code
    context = CompletionContext(
        prefix,
        suffix,
        shape,
        indent,
        _dotted(scopes),
        open_indent=shape is Shape.BLOCK and len(indent) > len(line_prefix),
        prose=_is_prose(leaf),
    )
    return context if function is None else _with_function(context, function)


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


def block_indent(prefix: str, suffix: str) -> str:
    """Return the indentation of a statement on the cursor's empty line.

    It is what stands left of the cursor. Where that would end a block that goes on below, it is the most probable one:
    one step deeper than a header above, else as deep as the line above.
    """
    here = prefix.rsplit("\n", 1)[-1]
    above = _code_line(reversed(prefix.split("\n")[:-1]))
    below = _code_line(suffix.split("\n")[1:])
    if above.rstrip().endswith(":") and _width(here) <= _width(above):
        deeper = leading_space(below) if _width(below) > _width(above) else ""
        return deeper or leading_space(above) + ("\t" if "\t" in leading_space(above) else "    ")
    ends_docstring = above.rstrip().endswith(('"""', "'''")) and not here
    if above and (_width(here) < _width(below) or ends_docstring) and _width(here) < _width(above):
        return leading_space(above)
    return here


def _code_line(lines: Iterable[str]) -> str:
    """Return the first line that holds code, empty without one."""
    return next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def _width(line: str) -> int:
    return len(leading_space(line).expandtabs())


def _leaf_at_cursor(prefix: str, suffix: str, missing: str) -> NodeOrLeaf:
    """Return the leaf of the placeholder at the cursor, in the parsed document.

    `missing` is white space that the cursor's line lacks.
    """
    # Right behind a docstring the placeholder needs a separator to be a statement of its own.
    separator = ";" if prefix.endswith(('"', "'")) and not suffix.split("\n", 1)[0].strip() else missing
    module: Module = parso.parse(prefix + separator + HOLE + suffix)
    line, column = prefix.count("\n") + 1, len(prefix) + len(separator) - (prefix.rfind("\n") + 1)
    # One character further: at its start, the leaf before it would be found.
    leaf: NodeOrLeaf = module.get_leaf_for_position((line, column + 1), True)
    return leaf


def _is_prose(leaf: NodeOrLeaf) -> bool:
    """Return True for a placeholder in a comment or in a text that is a statement."""
    if leaf.type == "string" or (leaf.type == "error_leaf" and leaf.get_code(False).startswith(('"', "'"))):
        return leaf.parent is not None and leaf.parent.type in ("simple_stmt", "suite", "file_input")
    return HOLE in leaf.get_code() and HOLE not in leaf.get_code(include_prefix=False)


def _scopes(leaf: NodeOrLeaf) -> list[Class | Function]:
    """Return classes and functions around a leaf, outermost first.

    Lambdas, which are functions to parso, are left out.
    """
    node: NodeOrLeaf | None = leaf
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
    words = [line.split("#", 1)[0].strip(" \t;") for line in body.split("\n")]
    return [word for word in words if word and word not in ("pass", "...")] == [HOLE]


def _with_function(context: CompletionContext, function: Function) -> CompletionContext:
    """Add what is known of the enclosing function.

    Its texts stay empty while the cursor is in the signature.
    """
    prefix = context.prefix
    lines = split_lines(prefix, keepends=True)
    own = leading_space(lines[function.start_pos[0] - 1])

    def before(position: tuple[int, int]) -> str:
        """Return the document up to a 1-based line and 0-based column."""
        line, column = position
        return "".join([*lines[: line - 1], lines[line - 1][:column]])

    def is_written(node: NodeOrLeaf) -> bool:
        return node.end_pos <= (len(lines), len(lines[-1]))

    def dedented(code: str) -> str:
        return "\n".join(line.removeprefix(own) for line in code.split("\n"))

    *signature, _ = function.children
    doc = function.get_doc_node()
    if not is_written(signature[-1]):
        return context
    documented = doc is not None and is_written(doc)
    empty = context.shape is Shape.BODY  # a comment, or a `pass` to be replaced, is part of `stated`
    stated = prefix if empty else before((doc if documented else signature[-1]).end_pos)
    is_async = function.parent is not None and function.parent.type in ("async_stmt", "async_funcdef")
    head = "async " if is_async else ""
    keyword, *others = signature
    code = keyword.get_code(include_prefix=False) + "".join(child.get_code() for child in others)
    return replace(
        context,
        margin=own,
        stated=stated,
        begun=dedented(head + code + ("" if empty else prefix[len(stated) :])),
        documented=documented,
        written=dedented(head + prefix[len(before(function.start_pos)) :]),
    )


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
