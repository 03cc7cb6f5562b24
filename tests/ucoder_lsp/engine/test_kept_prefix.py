"""The requests with `kept_prefix`: earlier requests change no bit of the answer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.ucoder_lsp.engine.test_engine import assert_as_if_alone
from ucoder_lsp.engine.engine import Engine, Ticket
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.types import Finish, GenerationRequest


def test_an_answer_with_a_kept_prefix_does_not_depend_on_earlier_requests(
    engine: Engine,
) -> None:
    shared, other = engine.tokenize("x = 1\n" * 40), engine.tokenize("y = 2\n" * 30)
    requests = [
        GenerationRequest((*prefix, *engine.tokenize(f"f({i})")), k=6, max_tokens=12, kept_prefix=n)
        for prefix, n in ((shared, len(shared)), (shared, 0), (shared, 17), (other, len(other)))
        for i in range(2)
    ]
    first = {}
    for request in requests:
        engine.logits(shared[:1])  # empties the cache
        first[request] = engine.generate(request)
        assert first[request].n_cached_tokens == 0
        again = engine.generate(request)
        assert again.n_cached_tokens == request.kept_prefix
        assert again.candidates == first[request].candidates
        assert_as_if_alone(engine, request, again)
    random = np.random.default_rng(0)
    for _ in range(40):
        request = requests[random.integers(len(requests))]
        if random.random() < 0.3:  # one that uses and fills the prefix cache
            assert_as_if_alone(engine, request, engine.generate(replace(request, kept_prefix=None)))
        else:
            assert engine.generate(request).candidates == first[request].candidates


@pytest.mark.parametrize("kept", [-1, 9, 10])
def test_a_kept_prefix_is_shorter_than_its_prompt(engine: Engine, kept: int) -> None:
    with pytest.raises(EngineError, match="keep less than the 9 tokens"):
        engine.generate(GenerationRequest((1,) * 9, kept_prefix=kept))


def test_a_prefill_interrupted_in_its_kept_prefix_leaves_nothing_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = GenerationRequest(tuple(range(3, 250)), k=2, max_tokens=8, kept_prefix=200)
    expected = engine.generate(request).candidates
    engine.logits((1,))  # empties the cache
    checks = itertools.count()
    with monkeypatch.context() as patched:  # the first part of the prefix is computed, the second is not
        patched.setattr(Ticket, "interrupted", lambda _: Finish.CANCELLED if next(checks) == 2 else None)
        given_up = engine.generate(request)
    assert {c.finish for c in given_up.candidates} == {Finish.CANCELLED}
    after = engine.generate(request)
    assert (after.n_cached_tokens, after.candidates) == (0, expected)
