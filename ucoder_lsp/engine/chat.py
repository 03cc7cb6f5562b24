"""A model's own chat template: the prompt in which a user has asked something and the model is about to answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.vocab import Vocab

_MARK = "user-says"


class ChatRefused(EngineError):
    """The template cannot be used for a single user turn; the message is a sentence."""


def ask(template: str, vocab: Vocab, user: str) -> str:
    """The whole prompt, as text with the template's markers in it. Raises `ChatRefused`."""
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
    except Exception as error:  # a template computes, and may fail in any way
        raise ChatRefused(f"The model's chat template cannot be used: {error}") from error


def around(asking: Callable[[str], str]) -> tuple[str, str] | None:
    """What stands before and after what a user says; None where the template leaves that out."""
    opening, said, closing = asking(_MARK).partition(_MARK)
    return (opening, closing) if said else None


def asker(template: str | None, vocab: Vocab) -> Callable[[str], str] | None:
    """`ask` with what a model brought; None where it brought no template, or one that cannot be used."""
    if not template:
        return None
    try:
        ask(template, vocab, "")
    except ChatRefused:
        return None  # it continues texts, as a model without a template does
    return partial(ask, template, vocab)


@lru_cache(maxsize=4)
def _compiled(source: str) -> jinja2.Template:
    """It comes from a file we did not write: sandboxed, no loader."""

    def refuse(message: str) -> str:
        raise ChatRefused(f"The model's chat template refuses a single user turn: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(source)
