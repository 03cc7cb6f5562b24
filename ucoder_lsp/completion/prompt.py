"""The token prompt of a completion.

Fill-in-the-middle is used where the vocabulary has it. For a chat model without it the prompt requests the function
around the cursor as the trainer does (`trainer/sampling/prompts/solve_stub.j2`). It holds the document up to the
function's body, and the beginning of an answer: the function as far as it is written. So the next token belongs at the
cursor. The embedded model is right more often this way than by continuing the text (docs/decisions.md, "A function is
requested through the chat template"). Adapters learn this form. Outside functions, and for models without a chat
template, the model continues the text before the cursor.

A prompt never ends in white space, because the next token usually includes the space (a simple form of token healing);
`filters.insertion` adds exactly what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.engine.chat import around_user_text
from ucoder_lsp.engine.vocab import FimTokens

CHUNK = 256
"""A long document is cut in steps of this many tokens. The start of the prompt, and so the cached prefix, then stays
the same for many keystrokes."""
SUFFIX_SHARE = 4
"""The text behind the cursor gets 1/SUFFIX_SHARE of the budget (fill-in-the-middle only)."""
QUESTION = "Complete this function. Output the whole function in a Python code block."
FENCE = "```python\n"

Chat = Callable[[str], str]
"""A model's chat template: from a user's text to a prompt with the template's markers."""


class Tokenize(Protocol):
    """The signature of `Engine.tokenize`."""

    def __call__(self, text: str, special: bool = False) -> Sequence[int]: ...


def assemble(
    context: CompletionContext,
    tokenize: Tokenize,
    *,
    fim: FimTokens | None,
    chat: Chat | None = None,
    budget: int,
) -> tuple[int, ...]:
    """Return the token ids of the prompt, at most `budget` of them.

    `chat` is None without a usable template.
    """
    if fim is None and chat is not None and context.begun:
        turn = _chat_turn(context, tokenize, chat, budget)
        if turn is not None:
            return turn
    before = tokenize(context.prefix.rstrip())
    if fim is None:
        return tuple(_newest(before, budget))
    after = tokenize(context.suffix)[: budget // SUFFIX_SHARE]
    before = _newest(before, budget - len(after) - 3)
    return (fim.prefix, *before, fim.suffix, *after, fim.middle)


def _chat_turn(
    context: CompletionContext, tokenize: Tokenize, chat: Chat, budget: int
) -> tuple[int, ...] | None:
    """Return the user turn and the beginning of the answer.

    None where the budget is too small or the template omits the user's text.
    """
    parts = around_user_text(chat)
    if parts is None:
        return None
    opening, closing = parts  # the user's text between them is tokenized without markers
    head = (*tokenize(opening, special=True), *tokenize(f"{QUESTION}\n\n{FENCE}"))
    tail = (*tokenize("\n```"), *tokenize(closing, special=True), *tokenize(FENCE + context.begun.rstrip()))
    stated = tokenize(context.stated.rstrip())
    room = budget - len(head) - len(tail)
    if room < min(len(stated), 2 * CHUNK):  # the cut in steps could leave less than half of it
        return None
    return (*head, *_newest(stated, room), *tail)


def _newest(tokens: Sequence[int], budget: int) -> Sequence[int]:
    """Return the last tokens, at most `budget`.

    The cut is at a multiple of CHUNK.
    """
    if len(tokens) <= budget:
        return tokens
    step = min(CHUNK, budget)
    start = -(-(len(tokens) - budget) // step) * step
    return tokens[start:] or tokens[-budget:]
