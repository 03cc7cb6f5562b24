"""The token prompt of a completion.

Fill-in-the-middle where the vocabulary has it. A model without it that was taught to chat is asked for the function
around the cursor as its trainer asks (`trainer/sampling/prompts/solve_stub.j2`): the document up to the function's
body, and an answer begun with the function as far as it is written, so that what comes next is what belongs at the
cursor. The embedded model is right more often so than when it continues the text (docs/log.md), and that form is what
an adapter learns. Outside functions, and for models that do not chat, the text before the cursor is continued.

A prompt never ends in white space: the token that comes next usually carries the space itself (token healing, the
cheap way), and `filters.insertion` puts back exactly what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.engine.chat import around
from ucoder_lsp.engine.vocab import FimTokens

CHUNK = 256
"""A long document is cut in steps of this many tokens, so that the prompt's start (and with it the cached
prefix) stays the same for many keystrokes."""
SUFFIX_SHARE = 4
"""One part in this many of the budget goes to the text behind the cursor (fill-in-the-middle only)."""
QUESTION = "Complete this function. Output the whole function in a Python code block."
FENCE = "```python\n"

Chat = Callable[[str], str]
"""A model's chat template: what a user says, as a prompt with the template's markers in it."""


class Tokenize(Protocol):
    """`Engine.tokenize`."""

    def __call__(self, text: str, special: bool = False) -> Sequence[int]: ...


def assemble(
    context: CompletionContext,
    tokenize: Tokenize,
    *,
    fim: FimTokens | None,
    chat: Chat | None = None,
    budget: int,
) -> tuple[int, ...]:
    """Token ids of the prompt, at most `budget` of them. `chat` is None where the model has no usable template."""
    if fim is None and chat is not None and context.begun:
        asked = _asked(context, tokenize, chat, budget)
        if asked is not None:
            return asked
    before = tokenize(context.prefix.rstrip())
    if fim is None:
        return tuple(_newest(before, budget))
    after = tokenize(context.suffix)[: budget // SUFFIX_SHARE]
    before = _newest(before, budget - len(after) - 3)
    return (fim.prefix, *before, fim.suffix, *after, fim.middle)


def _asked(context: CompletionContext, tokenize: Tokenize, chat: Chat, budget: int) -> tuple[int, ...] | None:
    """The question and the beginning of its answer; None where the budget or the template has no room for one."""
    turn = around(chat)
    if turn is None:
        return None
    opening, closing = turn  # what stands between is a user's text, and no part of it is read as a marker
    head = (*tokenize(opening, special=True), *tokenize(f"{QUESTION}\n\n{FENCE}"))
    tail = (*tokenize("\n```"), *tokenize(closing, special=True), *tokenize(FENCE + context.begun.rstrip()))
    stated = tokenize(context.stated.rstrip())
    room = budget - len(head) - len(tail)
    if room < min(len(stated), 2 * CHUNK):  # cut in steps, less than half of it could be left
        return None
    return (*head, *_newest(stated, room), *tail)


def _newest(tokens: Sequence[int], budget: int) -> Sequence[int]:
    """The last tokens, at most `budget`, cut at a multiple of CHUNK."""
    if len(tokens) <= budget:
        return tokens
    step = min(CHUNK, budget)
    start = -(-(len(tokens) - budget) // step) * step
    return tokens[start:] or tokens[-budget:]
