"""Documents with the cursor written as `|`."""

from __future__ import annotations

from ucoder_lsp.completion.context import CompletionContext, context_at
from ucoder_lsp.completion.forms import Form, Question
from ucoder_lsp.completion.prompt import AssembledPrompt


def split(marked: str) -> tuple[str, int, int]:
    """Return the text without the mark, and the mark's position.

    The position is a 0-based line and column.
    """
    before, _, after = marked.partition("|")
    return before + after, before.count("\n"), len(before) - (before.rfind("\n") + 1)


def at(marked: str) -> CompletionContext:
    """Return the completion context at the mark."""
    return context_at(*split(marked))


def asked(
    context: CompletionContext, *, form: Form = Form.CHAT, begun_line: str | None = None
) -> AssembledPrompt:
    """Return a prompt without tokens, to read answers with."""
    dedent = (context.margin or "") if form is Form.CHAT else ""
    return AssembledPrompt((), Question(form), dedent, begun_line)
