"""The text rules that turn a sampled continuation into an insertion.

Nothing is executed. Each rule prevents what users of other tools complained about: wrong indentation or a leading
space, tokens of the prompt format in the text, duplicated closing brackets, endless repetition, the next function moved
into the body of this one.
"""

from __future__ import annotations

import re

from sandbox.inputs.brackets import CLOSING, first_unopened, n_open
from ucoder_lsp.completion.context import CompletionContext, Shape, leading_space
from ucoder_lsp.completion.prompt import AssembledPrompt
from ucoder_lsp.completion.stops import (
    block_end,
    expected_indent,
    following_line,
    line_end,
    own_indent,
)

_DOCSTRING = re.compile(r"""\A('{3}|"{3})(?s:.*?)\1[ \t]*(?:\n\s*|\Z)""")
"""A docstring at the start of a body; chat models often repeat the one in the document."""


def insertion(raw: str, context: CompletionContext, prompt: AssembledPrompt) -> str | None:
    """Return the text to insert for a raw continuation of the prompt, or None.

    None means that it does not fit: it continues a word that white space has already ended, is empty, or belongs
    outside the cursor's block.
    """
    text = _line(raw, context) if context.shape is Shape.LINE else _block(raw, context, prompt)
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
        if "\n" in context.gap:
            return None
        body = raw.lstrip(" \t")
        if body == raw and _continues_word(context.prefix.rstrip(), raw):
            return None
    return _not_left_of(context.indent, body[: line_end(body)])


def _continues_word(before: str, raw: str) -> bool:
    """Return True if `raw` would be the rest of the last word of `before`."""
    return _is_word(before[-1:]) and _is_word(raw[:1])


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _not_left_of(indent: str, text: str) -> str:
    """Indent continued lines that begin left of the expression's first line.

    The prompt shows a method without its class's indentation.
    """
    first, *lines = text.split("\n")
    indents = [len(leading_space(line)) for line in lines if line.strip()]
    missing = indent[: max(0, len(indent) - min(indents, default=len(indent)))]
    return "\n".join([first, *(missing + line if line.strip() else line for line in lines)])


def _block(raw: str, context: CompletionContext, prompt: AssembledPrompt) -> str | None:
    leading = leading_space(raw)
    own = own_indent(raw, context, prompt)
    if not (_begins_line(leading, context, prompt) and _is_inside(own, context, prompt)):
        return None
    end = block_end(raw, context, prompt)
    body = raw[len(leading) : len(raw) if end is None else end]
    if context.documented:
        body = _DOCSTRING.sub("", body)
    indent = prompt.dedent + own if context.open_indent else context.indent
    return _lead(indent, context) + _in_style(body, own, indent, context)


def _begins_line(leading: str, context: CompletionContext, prompt: AssembledPrompt) -> bool:
    """Return whether a text with this white space in front begins a new line of code.

    Where the prompt ends with the last code, a text may also continue that line.
    """
    return (
        prompt.begun_line is not None
        or "\n" in leading
        or len(leading) > 1
        or context.shape is Shape.BODY
        or not context.prefix.strip()
    )


def _is_inside(own: str, context: CompletionContext, prompt: AssembledPrompt) -> bool:
    """Return whether code with this indentation belongs to the cursor's block.

    Code at the function's margin is the next definition. Code as deep as an enclosing statement ends the block. A text
    can do that only where the cursor is not deeper itself. Other indentation is only careless.
    """
    width, expected = len(own.expandtabs()), len(expected_indent(context, prompt).expandtabs())
    if context.margin is not None and width <= len(context.margin.removeprefix(prompt.dedent).expandtabs()):
        return False
    if width >= expected or context.shape is Shape.BODY:
        return True
    is_known = own in {
        leading_space(line).removeprefix(prompt.dedent) for line in context.prefix.split("\n") if line.strip()
    }
    return is_known == context.open_indent


def _lead(indent: str, context: CompletionContext) -> str:
    """Return the white space missing between the cursor and the block."""
    here = context.prefix.rpartition("\n")[2]
    if here.strip():
        return "\n" + indent
    return indent.removeprefix(here) if indent.startswith(here) else ""


def _in_style(body: str, own: str, indent: str, context: CompletionContext) -> str:
    """Return a block at a new indentation, with the document's unit of indentation.

    Lines in brackets and in strings keep their distance to the first line.
    """
    first, *lines = body.split("\n")
    deeper = [
        leading_space(line).removeprefix(own)
        for line in lines
        if line.strip() and leading_space(line).startswith(own) and leading_space(line) != own
    ]
    unit, wanted = min(deeper, key=len, default=""), _unit(context)
    placed = [first]
    for line in lines:
        space = leading_space(line)
        depth = space.removeprefix(own)
        if not line.strip():
            placed.append("")
        elif not space.startswith(own):
            placed.append(line)
        elif depth and depth == unit * (len(depth) // len(unit)) and n_open("\n".join(placed)) <= 0:
            placed.append(indent + wanted * (len(depth) // len(unit)) + line[len(space) :])
        else:
            placed.append(indent + line[len(own) :])
    return "\n".join(placed)


def _unit(context: CompletionContext) -> str:
    """Return what the document indents by: a tab or some spaces."""
    spaces = [
        space
        for line in (*context.prefix.split("\n"), *context.suffix.split("\n"))
        if line.strip() and (space := leading_space(line))
    ]
    if any("\t" in space for space in spaces) or "\t" in context.indent:
        return "\t"
    return " " * min((len(space) for space in spaces if len(space) > 1), default=4)


def _repeats(text: str) -> bool:
    """Return True if the last three lines are equal.

    Small models fall into such loops.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 3 and lines[-1] == lines[-2] == lines[-3]


def _without_suffix_overlap(text: str, context: CompletionContext) -> str | None:
    """Remove the end that the document already holds behind the cursor.

    That is a closing bracket, or the next lines.
    """
    rest = context.line_suffix.strip()
    if rest:
        at = _closing(text, rest)
        return text[:at].rstrip() if at is not None else text
    following = [line.strip() for line in context.suffix.split("\n")[1:] if line.strip()]
    lines = text.split("\n")
    if next_line := following_line(context):
        written = [line.strip() for line in lines]
        for number, line in enumerate(written):
            rest_of_text = [later for later in written[number:] if later]
            if line == next_line and rest_of_text == following[: len(rest_of_text)]:
                lines = lines[:number]
                break
    kept = "\n".join(lines).rstrip()
    return kept if kept.strip() else None


def _closing(text: str, rest: str) -> int | None:
    """Return where the text repeats the rest of the cursor's line.

    That is at its first unopened bracket, or at the same words. None without a repetition.
    """
    if rest[0] not in CLOSING:
        at = text.find(rest)
        return at if at >= 0 else None
    return first_unopened(text)
