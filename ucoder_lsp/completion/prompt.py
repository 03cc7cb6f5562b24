"""The token prompt of a completion: fill-in-the-middle where the vocabulary has it, else the text before the cursor.

A prompt never ends in white space: the token that comes next usually carries the space itself (token healing,
the cheap way), and `filters.insertion` puts back exactly what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.engine.vocab import FimTokens

CHUNK = 256
"""A long document is cut in steps of this many tokens, so that the prompt's start (and with it the cached
prefix) stays the same for many keystrokes."""
SUFFIX_SHARE = 4
"""One part in this many of the budget goes to the text behind the cursor (fill-in-the-middle only)."""


def assemble(
    context: CompletionContext,
    tokenize: Callable[[str], Sequence[int]],
    *,
    fim: FimTokens | None,
    budget: int,
) -> tuple[int, ...]:
    """Token ids of the prompt, at most `budget` of them. Plain text only: no chat template, no instructions."""
    before = tokenize(context.prefix.rstrip())
    if fim is None:
        return tuple(_newest(before, budget))
    after = tokenize(context.suffix)[: budget // SUFFIX_SHARE]
    before = _newest(before, budget - len(after) - 3)
    return (fim.prefix, *before, fim.suffix, *after, fim.middle)


def _newest(tokens: Sequence[int], budget: int) -> Sequence[int]:
    """The last tokens, at most `budget`, cut at a multiple of CHUNK."""
    if len(tokens) <= budget:
        return tokens
    step = min(CHUNK, budget)
    start = -(-(len(tokens) - budget) // step) * step
    return tokens[start:] or tokens[-budget:]
