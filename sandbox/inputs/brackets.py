"""Follow brackets through prose and unfinished code.

One scan serves all callers. It counts round, square and curly brackets alike and does not check that their
kinds match. Callers differ in how they read string literals (`Strings`).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

OPENING, CLOSING = "([{", ")]}"


class Strings(Enum):
    """The ways in which a scan reads string literals."""

    ESCAPED = "skipped; a quote after a backslash does not end the string"
    UNESCAPED = "skipped; the next quote of the same sort ends the string"
    IGNORED = "not recognised; brackets in them count"


def bracket_depths(
    text: str, start: int = 0, end: int | None = None, strings: Strings = Strings.ESCAPED
) -> Iterator[tuple[int, int]]:
    """Yield each bracket's position in `text[start:end]` and the depth after it.

    The depth starts at 0 and becomes negative at a bracket that closes nothing.
    """
    depth, quote = 0, ""
    for position in range(start, len(text) if end is None else min(end, len(text))):
        char = text[position]
        if quote:
            escaped = strings is Strings.ESCAPED and text[position - 1] == "\\"
            quote = "" if char == quote and not escaped else quote
        elif char in "\"'" and strings is not Strings.IGNORED:
            quote = char
        elif char in OPENING:
            depth += 1
            yield position, depth
        elif char in CLOSING:
            depth -= 1
            yield position, depth


def after_closing(text: str, start: int, longest: int) -> int | None:
    """Return the position after the bracket that closes the one at `start`.

    There must be an opening bracket at `start`. None where it is not closed within `longest` characters.
    Strings are skipped, with their escapes.
    """
    scan = bracket_depths(text, start, start + longest)
    return next((position + 1 for position, depth in scan if depth == 0), None)


def n_open(text: str) -> int:
    """Return the number of opening minus closing brackets in `text`.

    Strings are skipped without their escapes: callers use the count to stop a growing text, nothing more.
    """
    depths = [depth for _, depth in bracket_depths(text, strings=Strings.UNESCAPED)]
    return depths[-1] if depths else 0


def first_unopened(text: str) -> int | None:
    """Return the position of the first bracket that closes nothing.

    None without such a bracket. Strings are not recognised.
    """
    scan = bracket_depths(text, strings=Strings.IGNORED)
    return next((position for position, depth in scan if depth < 0), None)
