"""The server's prompts have the form of the training rows; otherwise an adapter would be useless."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cursor import at
from trainer.data.dataset import as_answer
from trainer.sampling.engines import Engines
from trainer.sampling.sampler import Sampler, render
from ucoder_lsp.completion.context import Shape
from ucoder_lsp.completion.forms import family_of
from ucoder_lsp.completion.prompt import assemble
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.models.prepare import prepare_model

STUB = 'def double(x: int, times: int) -> int:\n    """Double x so many times.\n\n    >>> double(1, 2)\n    4\n    """'


@pytest.mark.slow
def test_the_servers_prompt_is_the_beginning_of_a_training_row(prepared_cache: Path) -> None:
    model = prepare_model(None, prepared_cache)
    with Engine.load(model.path, n_ctx=512, k_max=1, extra_buffers=model.extra_buffers) as engine:
        question = Sampler(Engines([engine])).chat(render("solve_stub", statement=STUB).text)
        answer = as_answer(f"{STUB}\n    return x * 2**times", typed=True)
        row = engine.tokenize(question + answer, special=True)
        asked = assemble(
            at(f"{STUB}\n    |"),
            engine.tokenize,
            questions=family_of(engine.model_name).questions[Shape.BODY],
            fim=engine.vocab.fim,
            chat=chat.turn_renderer(engine.chat_template, engine.vocab),
            budget=400,
        ).tokens
        assert row[: len(asked)] == asked
        assert engine.vocab.detokenize(row[len(asked) :]) == "\n    return x * 2 ** times\n```"
