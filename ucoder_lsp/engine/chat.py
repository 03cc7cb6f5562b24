"""The chat template of the model, rendered for one user turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.vocab import Vocab

_MARK = "user-text"


class ChatRefused(EngineError):
    """The template cannot be used for a single user turn."""


def render_turn(template: str, vocab: Vocab, user: str) -> str:
    """Return the prompt of one user turn, with the template's markers.

    Raises `ChatRefused`.
    """
    names = {
        f"{name}_token": vocab.detokenize((token,), special=True) if token is not None else ""
        for name, token in (("bos", vocab.bos), ("eos", vocab.eos))
    }
    try:
        return _compiled(template).render(
            messages=[{"role": "user", "content": user}], add_generation_prompt=True, **names
        )
    except ChatRefused:
        raise
    except Exception as error:  # a template is a program and may fail in any way
        raise ChatRefused(f"The model's chat template cannot be used: {error}") from error


def around_user_text(render: Callable[[str], str]) -> tuple[str, str] | None:
    """Return the prompt before and after the user's text.

    None where the template omits that text.
    """
    opening, mark, closing = render(_MARK).partition(_MARK)
    return (opening, closing) if mark else None


def turn_renderer(template: str | None, vocab: Vocab) -> Callable[[str], str] | None:
    """Return `render_turn` for a model's template.

    None where the model has no template, or one that cannot be used.
    """
    if not template:
        return None
    try:
        render_turn(template, vocab, "")
    except ChatRefused:
        return None
    return partial(render_turn, template, vocab)


@lru_cache(maxsize=4)
def _compiled(source: str) -> jinja2.Template:
    """Compile a template in a sandbox without a loader.

    The template comes from an untrusted file.
    """

    def refuse(message: str) -> str:
        raise ChatRefused(f"The model's chat template refuses a single user turn: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(source)
