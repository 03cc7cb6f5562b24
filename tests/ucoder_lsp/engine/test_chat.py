"""The prompt of a chat, by the template that a model brought."""

from __future__ import annotations

import pytest

from tests.support import tiny_gguf
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine


def test_a_model_is_asked_by_its_own_template(engine: Engine) -> None:
    ask = chat.asker(tiny_gguf.CHAT_TEMPLATE, engine.vocab)
    assert ask is not None
    assert ask("Why?") == "<|im_start|>user\nWhy?<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('a system turn is missing') }}", "refuses a single user turn: a system turn is"),
        ("{% for m in messages %}", "cannot be used: "),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot be used: "),
        ("{{ nothing.there }}", "cannot be used: "),
        ("{{ 1 + 'a' }}", "cannot be used: "),
    ],
    ids=["refuses", "does not parse", "reaches out", "undefined", "computes wrongly"],
)
def test_a_template_that_cannot_be_used_is_one_sentence_and_no_way_to_ask(
    engine: Engine, template: str, says: str
) -> None:
    assert chat.asker(template, engine.vocab) is None
    with pytest.raises(chat.ChatRefused, match=says):
        chat.ask(template, engine.vocab, "Why?")


def test_a_model_without_a_template_is_not_asked(engine: Engine) -> None:
    assert chat.asker(None, engine.vocab) is None
