"""The places where a growing continuation is complete.

Nothing is executed. A candidate ends where the code at the cursor ends: what the model writes behind the function (a
check, the next `def`, a call) belongs to no completion, and decoding it costs time.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable

from sandbox.inputs.brackets import n_open
from ucoder_lsp.completion.context import CompletionContext, Shape, leading_space
from ucoder_lsp.completion.prompt import AssembledPrompt

RUNAWAY = ("\n```", "\n# Test", "\n# Example", "\nif __name__", "\n>>>")
"""The beginnings of text that a small model adds after a complete function."""
MAX_CONTINUED_LINES = 8
"""Lines that an expression in open brackets may continue over."""
MAX_BLANK_LINES = 1
"""Consecutive blank lines allowed inside a body; more end it."""
SHORTEST_REPEATED_LINE = 4
"""Characters of a line that counts as a repetition of the line behind the cursor."""
LEAVES_BLOCK = ("return", "raise", "continue", "break")
"""The statements behind which code of the same block is never reached."""


def stopper(context: CompletionContext, prompt: AssembledPrompt) -> Callable[[str], int | None]:
    """Return a function that finds where a growing text is complete.

    It returns the index, or None while the text is incomplete.
    """
    if context.shape is Shape.LINE:
        return line_end
    return lambda text: block_end(text, context, prompt)


def line_end(text: str) -> int | None:
    """Return the end of the first line of code, or None.

    Open brackets continue it for a few lines at most.
    """
    end = text.find("\n", len(text) - len(text.lstrip()))
    for _ in range(MAX_CONTINUED_LINES):
        if end < 0 or n_open(text[:end]) <= 0:
            break
        end = text.find("\n", end + 1)
    return end if end >= 0 else None


def block_end(text: str, context: CompletionContext, prompt: AssembledPrompt) -> int | None:
    """Return the end of a block, or None.

    It ends at a line left of it, behind a statement that leaves it, at blank lines, at the document's next line, and at
    what small models add after a function. Outside functions one paragraph or one definition is asked for.
    """
    ends = [at for marker in RUNAWAY if (at := text.find(marker)) >= 0]
    own = own_indent(text, context, prompt)
    next_line = following_line(context)
    lines = text.split("\n")
    offset, blanks, seen, leaving = 0, 0, False, False
    for number, line in enumerate(lines):
        growing = number == len(lines) - 1
        if line.strip():
            width = len((leading_space(line) if number else own).expandtabs())
            if seen and width < len(own.expandtabs()) and not _in_string(text[:offset]):
                ends.append(max(offset - 1, 0))
                break
            at_own_level = width == len(own.expandtabs())
            if blanks and at_own_level and context.margin is None and _is_whole(text[:offset]):
                ends.append(max(offset - 1, 0))
                break
            if seen and not growing and at_own_level and line.strip() == next_line:
                ends.append(max(offset - 1, 0))
                break
            leaving = leaving or (at_own_level and _leaves_block(line))
            if leaving and not growing and _parses(text[: offset + len(line)], own):
                ends.append(offset + len(line))
                break
            seen, blanks = True, 0
        else:
            blanks += seen and not growing
            if blanks > MAX_BLANK_LINES:
                ends.append(offset)
                break
        offset += len(line) + 1
    return min(ends) if ends else None


def own_indent(text: str, context: CompletionContext, prompt: AssembledPrompt) -> str:
    """Return the indentation of the model's first line of code."""
    leading = leading_space(text)
    if "\n" in leading:
        return leading.rsplit("\n", 1)[-1]
    return expected_indent(context, prompt) if prompt.begun_line is None else prompt.begun_line + leading


def expected_indent(context: CompletionContext, prompt: AssembledPrompt) -> str:
    """Return the indentation of the cursor's block as the prompt shows it."""
    return context.indent.removeprefix(prompt.dedent)


def following_line(context: CompletionContext) -> str:
    """Return the next line of code behind the cursor's line, stripped.

    Empty where it is too short to tell, or where there is none.
    """
    found = next((line.strip() for line in context.suffix.split("\n")[1:] if line.strip()), "")
    return found if len(found) >= SHORTEST_REPEATED_LINE else ""


def _leaves_block(line: str) -> bool:
    word = line.strip().split("(")[0].split(" ")[0].rstrip(";:")
    return word in LEAVES_BLOCK


def _parses(text: str, own: str) -> bool:
    """Return whether the statements of a block are complete."""
    first = text.lstrip()
    body = textwrap.indent(textwrap.dedent(own + first), "  ")
    try:
        ast.parse(f"async def f():\n while 1:\n{body}\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_whole(text: str) -> bool:
    """Return whether neither a bracket nor a text is open at the end."""
    return n_open(text) <= 0 and not _in_string(text)


def _in_string(text: str) -> bool:
    """Return True if a triple-quoted string is open at the end of `text`.

    Its lines may stand at the margin.
    """
    return text.count('"""') % 2 == 1 or text.count("'''") % 2 == 1
