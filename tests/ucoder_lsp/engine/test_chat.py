"""The prompt of one user turn, rendered by the model's own template."""

from __future__ import annotations

import pytest

from tests.support import tiny_gguf
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine


def test_a_turn_is_rendered_by_the_models_own_template(engine: Engine) -> None:
    render = chat.turn_renderer(tiny_gguf.CHAT_TEMPLATE, engine.vocab)
    assert render is not None
    assert render("Why?") == "<|im_start|>user\nWhy?<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('a system turn is missing') }}", "refuses a single user turn: a system turn is"),
        ("{% for m in messages %}", "cannot be used: "),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot be used: "),
        ("{{ nothing.there }}", "cannot be used: "),
        ("{{ 1 + 'a' }}", "cannot be used: "),
    ],
    ids=["refuses", "does not parse", "reaches out", "undefined", "computes wrongly"],
)
def test_an_unusable_template_is_refused_with_one_sentence(
    engine: Engine, template: str, message: str
) -> None:
    assert chat.turn_renderer(template, engine.vocab) is None
    with pytest.raises(chat.ChatRefused, match=message):
        chat.render_turn(template, engine.vocab, "Why?")


def test_a_model_without_a_template_has_no_renderer(engine: Engine) -> None:
    assert chat.turn_renderer(None, engine.vocab) is None
