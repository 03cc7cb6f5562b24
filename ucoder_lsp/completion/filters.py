"""The text rules that turn a sampled continuation into an insertion.

Nothing is executed. Each rule prevents what users of other tools complained about: wrong indentation or a leading
space, tokens of the prompt format in the text, duplicated closing brackets, endless repetition.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sandbox.inputs.brackets import CLOSING, first_unopened, n_open
from ucoder_lsp.completion.context import CompletionContext, Shape, leading_space

RUNAWAY = ("\n```", "\n# Test", "\n# Example", "\nif __name__", "\n>>>")
"""The beginnings of text that a small model adds after a complete function."""
MAX_CONTINUED_LINES = 8
"""Lines that an expression in open brackets may continue over."""
MAX_BLANK_LINES = 1
"""Consecutive blank lines allowed inside a body; more end it."""
_DOCSTRING = re.compile(r"""\A('{3}|"{3})(?s:.*?)\1[ \t]*(?:\n\s*|\Z)""")
"""A docstring at the start of a body; chat models often repeat the one in the document."""


def stopper(context: CompletionContext) -> Callable[[str], int | None]:
    """Return a function that finds where a growing text is complete.

    It returns the index, or None while the text is incomplete.
    """
    if context.shape is Shape.LINE:
        return _line_end
    return lambda text: _block_end(text, context)


def _line_end(text: str) -> int | None:
    """Return the end of the first line of code, or None.

    Open brackets continue it for a few lines at most.
    """
    end = text.find("\n", len(text) - len(text.lstrip()))
    for _ in range(MAX_CONTINUED_LINES):
        if end < 0 or n_open(text[:end]) <= 0:
            break
        end = text.find("\n", end + 1)
    return end if end >= 0 else None


def _block_end(text: str, context: CompletionContext) -> int | None:
    """Return the end of a block, or None.

    A dedent, blank lines or runaway text end it.
    """
    ends = [at for marker in RUNAWAY if (at := text.find(marker)) >= 0]
    lines = text.split("\n")
    offset, blanks, seen = 0, 0, False
    own = _own_indent(text)
    for line in lines[:-1]:  # the last line is still growing
        if line.strip():
            indent = leading_space(line)
            if seen and offset and len(indent.expandtabs()) < len(own.expandtabs()):
                ends.append(offset - 1)
                break
            seen, blanks = True, 0
        else:
            blanks += seen
            if blanks > MAX_BLANK_LINES:
                ends.append(offset)
                break
        offset += len(line) + 1
    return min(ends) if ends else None


def _own_indent(text: str) -> str:
    """Return the indentation of the model's first line of code."""
    leading = leading_space(text)
    return leading.rsplit("\n", 1)[-1]


def insertion(raw: str, context: CompletionContext) -> str | None:
    """Return the text to insert for a raw continuation, or None.

    The continuation follows the prefix without its trailing white space. None means that it does not fit: it continues
    a word that white space has already ended, is empty, or starts a block on the header's line.
    """
    text = _line(raw, context) if context.shape is Shape.LINE else _block(raw, context)
    if text is None or not text.strip():
        return None
    text = text.rstrip()
    return None if _repeats(text) else _without_suffix_overlap(text, context)


def _line(raw: str, context: CompletionContext) -> str | None:
    body = raw
    if not context.gap:
        if raw.startswith("\n"):
            return None  # the line is already complete
    else:
        body = raw.lstrip(" \t")
        if body == raw and raw[:1] not in ("(", "[", "{", '"', "'"):
            return None  # the model continued the word before the space
        if "\n" in context.gap:
            return None
    return _not_left_of(context.indent, body[: _line_end(body)])


def _not_left_of(indent: str, text: str) -> str:
    """Indent continued lines that begin left of the expression's first line.

    The prompt shows a method without its class's indentation.
    """
    first, *lines = text.split("\n")
    indents = [len(leading_space(line)) for line in lines if line.strip()]
    missing = indent[: max(0, len(indent) - min(indents, default=len(indent)))]
    return "\n".join([first, *(missing + line if line.strip() else line for line in lines)])


def _block(raw: str, context: CompletionContext) -> str | None:
    leading = leading_space(raw)
    if "\n" not in leading:
        return None
    end = _block_end(raw, context)
    body = raw[len(leading) : len(raw) if end is None else end]
    if context.documented:
        body = _DOCSTRING.sub("", body)
    lines = body.split("\n")
    own = leading.rsplit("\n", 1)[-1]
    moved = [lines[0], *(_reindent(line, own, context.indent) for line in lines[1:])]
    return _lead(context) + "\n".join(moved)


def _lead(context: CompletionContext) -> str:
    """Return the white space missing between the cursor and the block."""
    if "\n" not in context.gap:
        return "\n" + context.indent
    here = context.gap.rsplit("\n", 1)[-1]
    return context.indent.removeprefix(here) if context.indent.startswith(here) else ""


def _reindent(line: str, own: str, wanted: str) -> str:
    if not line.strip():
        return ""
    return wanted + line[len(own) :] if line.startswith(own) else line


def _repeats(text: str) -> bool:
    """Return True if the last three lines are equal.

    Small models fall into such loops.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 3 and lines[-1] == lines[-2] == lines[-3]


def _without_suffix_overlap(text: str, context: CompletionContext) -> str | None:
    """Remove the end that the document already holds behind the cursor.

    That is a closing bracket, or the next line.
    """
    rest = context.line_suffix.strip()
    if rest:
        at = _closing(text, rest)
        return text[:at].rstrip() if at is not None else text
    following = [line.strip() for line in context.suffix.split("\n")[1:] if line.strip()]
    lines = text.split("\n")
    if following and len(following[0]) > 3:
        while len(lines) > 1 and lines[-1].strip() == following[0]:
            lines.pop()
    kept = "\n".join(lines).rstrip()
    return kept if kept.strip() and kept.strip() != (following[0] if following else None) else None


def _closing(text: str, rest: str) -> int | None:
    """Return where the text repeats the rest of the cursor's line.

    That is at its first unopened bracket, or at the same words. None without a repetition.
    """
    if rest[0] not in CLOSING:
        at = text.find(rest)
        return at if at >= 0 else None
    return first_unopened(text)
