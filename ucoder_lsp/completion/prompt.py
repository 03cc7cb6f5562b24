"""The token prompt of a completion, in the form that the model knows best (`forms`).

A chat model is asked for the function around the cursor as the trainer does
(`trainer/sampling/prompts/solve_stub.j2`). The user's turn holds the document up to the function's body. The answer is
begun with the function as far as it is written, so the next token belongs at the cursor. A model without
fill-in-the-middle is right more often this way than by continuing the text (docs/decisions.md, "A function is requested
through the chat template"). Adapters learn this form.
Outside functions, and for models without a chat template, the model continues the text before the cursor.

A prompt never ends in spaces, because the next token usually includes the space (a simple form of token healing);
`filters.insertion` adds exactly what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ucoder_lsp.completion.context import CompletionContext, Shape
from ucoder_lsp.completion.forms import CONTINUATION, Ending, Form, Question
from ucoder_lsp.engine.chat import around_user_text
from ucoder_lsp.engine.vocab import FimTokens

CHUNK = 256
"""A long document is cut in steps of this many tokens. The start of the prompt, and so the cached prefix, then stays
the same for many keystrokes."""
SUFFIX_SHARE = 4
"""The text behind the cursor gets 1/SUFFIX_SHARE of the budget (fill-in-the-middle only)."""
REQUEST = "Complete this function. Output the whole function in a Python code block."
BEHIND = "It goes on with this code, which is already there:"
FENCE = "```python\n"
LANGUAGE = "#!/usr/bin/env python3\n"
"""What an empty document starts with for the model, which otherwise writes any language."""

Chat = Callable[[str], str]
"""A model's chat template: from a user's text to a prompt with the template's markers."""


class Tokenize(Protocol):
    """The signature of `Engine.tokenize`."""

    def __call__(self, text: str, special: bool = False) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class AssembledPrompt:
    """The tokens of a question, and what its answer must be read with."""

    tokens: tuple[int, ...]
    question: Question
    """The question that was asked: the first of the family's that could be."""
    dedent: str = ""
    """Indentation that the prompt shows the function without."""
    begun_line: str | None = None
    """White space of the cursor's line that the prompt ends with; None where it ends with the last code before it."""


def assemble(
    context: CompletionContext,
    tokenize: Tokenize,
    *,
    questions: Sequence[Question],
    fim: FimTokens | None,
    chat: Chat | None = None,
    budget: int,
) -> AssembledPrompt:
    """Return the prompt of the first question that can be asked, at most `budget` tokens.

    Args:
        questions: the family's questions for this shape, best first.
        fim: None without fill-in-the-middle tokens.
        chat: None without a usable template.
    """
    for question in questions:
        match question.form:
            case Form.FILL if fim is not None:
                return _fill(context, tokenize, question, fim, budget)
            case Form.CHAT if chat is not None and context.begun:
                if (turn := _chat_turn(context, tokenize, question, chat, budget)) is not None:
                    return turn
            case Form.CONTINUE:
                return _continuation(context, tokenize, question, budget)
            case _:
                pass
    return _continuation(context, tokenize, CONTINUATION, budget)


def _fill(
    context: CompletionContext, tokenize: Tokenize, question: Question, fim: FimTokens, budget: int
) -> AssembledPrompt:
    text, begun_line = _before_cursor(context.prefix, context, question)
    after = tokenize(context.suffix)[: budget // SUFFIX_SHARE]
    before = _newest(tokenize(text or LANGUAGE), budget - len(after) - 3)
    return AssembledPrompt(
        (fim.prefix, *before, fim.suffix, *after, fim.middle), question, begun_line=begun_line
    )


def _continuation(
    context: CompletionContext, tokenize: Tokenize, question: Question, budget: int
) -> AssembledPrompt:
    text, begun_line = _before_cursor(context.prefix, context, question)
    return AssembledPrompt(
        tuple(_newest(tokenize(text or LANGUAGE), budget)), question, begun_line=begun_line
    )


def _chat_turn(
    context: CompletionContext, tokenize: Tokenize, question: Question, chat: Chat, budget: int
) -> AssembledPrompt | None:
    """Return the user turn and the beginning of the answer.

    None where the budget is too small or the template omits the user's text.
    """
    parts = around_user_text(chat)
    if parts is None:
        return None
    opening, closing = parts  # the user's text between them is tokenized without markers
    begun, begun_line = _before_cursor(
        context.written if question.docstring else context.begun, context, question
    )
    head = (*tokenize(opening, special=True), *tokenize(f"{REQUEST}\n\n{FENCE}"))
    behind = context.suffix.strip("\n") if question.rest else ""
    rest = (
        tokenize(f"\n```\n\n{BEHIND}\n\n{FENCE}{behind}")[: budget // SUFFIX_SHARE] if behind.strip() else ()
    )
    tail = (*rest, *tokenize("\n```"), *tokenize(closing, special=True), *tokenize(FENCE + begun))
    stated = tokenize(context.stated.rstrip())
    room = budget - len(head) - len(tail)
    if room < min(len(stated), 2 * CHUNK):  # the cut in steps could leave less than half of it
        return None
    tokens = (*head, *_newest(stated, room), *tail)
    return AssembledPrompt(tokens, question, dedent=context.margin or "", begun_line=begun_line)


def _before_cursor(text: str, context: CompletionContext, question: Question) -> tuple[str, str | None]:
    """Return the text that the model continues, and what it holds of the cursor's line.

    That is None where the text ends with the last code before it. White space at its end is left out, but for line
    breaks, and for an indentation without its last space.
    """
    code = text.rstrip()
    if question.ends_with is Ending.CODE or context.shape is Shape.LINE or not code:
        return code, None
    line_breaks = "\n" * max(text[len(code) :].count("\n"), 1)
    indent = ""
    if question.ends_with is Ending.INDENT and not context.open_indent:
        dedent = (context.margin or "") if question.form is Form.CHAT else ""
        indent = context.indent.removeprefix(dedent).removesuffix(" ")
    return code + line_breaks + indent, indent


def _newest(tokens: Sequence[int], budget: int) -> Sequence[int]:
    """Return the last tokens, at most `budget`.

    The cut is at a multiple of CHUNK.
    """
    if len(tokens) <= budget:
        return tokens
    step = min(CHUNK, budget)
    start = -(-(len(tokens) - budget) // step) * step
    return tokens[start:] or tokens[-budget:]
