"""The engine on the embedded model.

It must keep the promises of `test_engine` on a real model too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.ucoder_lsp.engine.test_engine import assert_as_if_alone
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling
from ucoder_lsp.models.prepare import EMBEDDED_SHA256, PreparedModel

pytestmark = pytest.mark.slow

MOST = 0.6
"""Nats by which a log-probability may differ when its row was computed in a batch of another shape. With weights of
8 bits llama.cpp rounds activations to 8 bits too, and one different rounding grows through 30 layers
(docs/experiments/2026-11-20-rounding.md). Tests on models of whole floats (`test_engine`) hold 0.02; confusing two rows
would differ by several nats."""
STRAYS = 0.02
"""Share of draws that such a rounding may move by more than a tenth of the probability (observed: 2 of 480, AVX2)."""


@pytest.fixture(scope="module")
def engine(embedded: PreparedModel) -> Iterator[Engine]:
    with Engine.load(
        embedded.path,
        n_ctx=1024,
        k_max=8,
        model_id=embedded.model_id,
        extra_buffers=embedded.extra_buffers,
    ) as engine:
        yield engine


def test_it_is_prepared_for_this_cpu(embedded: PreparedModel, engine: Engine) -> None:
    assert embedded.source_sha256 == EMBEDDED_SHA256
    assert embedded.path != embedded.source
    assert engine.vocab.fim is None
    assert engine.vocab.special & set(engine.tokenize("<jupyter_start>", special=True))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ('def is_even(n):\n    """Return True if n is even."""\n    return', " n % 2 == 0"),
        ("with open(path) as f:\n    return", " f.read()"),
    ],
)
def test_it_completes_a_line(engine: Engine, prompt: str, expected: str) -> None:
    request = GenerationRequest(engine.tokenize(prompt), 1, 16, Sampling(temperature=0), stop=("\n",))
    (candidate,) = engine.generate(request).candidates
    assert (candidate.text, candidate.finish) == (expected, Finish.STOP)


def test_candidates_equal_a_naive_reference(engine: Engine) -> None:
    text = 'def count_vowels(text: str) -> int:\n    """Return the number of vowels in text."""\n'
    request = GenerationRequest(engine.tokenize(text), 12, 40, Sampling(0.8, 0.95, seed=3))
    answer = engine.generate(request)
    assert len({c.tokens for c in answer.candidates}) > 4
    assert_as_if_alone(engine, request, answer, draw_atol=0.1, logprob_atol=MOST, strays=STRAYS)


def test_typing_on_computes_only_new_tokens(engine: Engine) -> None:
    text = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(40)) + "def g(a, b):\n    return"
    first = engine.generate(GenerationRequest(engine.tokenize(text), 2, 4))
    second = engine.generate(GenerationRequest(engine.tokenize(text + " a"), 2, 4))
    assert first.n_prompt_tokens > 400
    assert second.n_prompt_tokens - second.n_cached_tokens <= 2


def test_logprobs_match_a_direct_softmax(engine: Engine) -> None:
    prompt = engine.tokenize("import os\n\ndef list_files(folder):\n")
    (candidate,) = engine.generate(GenerationRequest(prompt, 1, 24)).candidates
    direct = engine.logprobs(prompt, candidate.tokens)
    off = np.abs(np.array(candidate.logprobs) - np.array(direct))
    assert off.max() < MOST
    assert off.mean() < 0.08


def test_the_fastest_kernels_agree_with_the_plain_ones(embedded: PreparedModel) -> None:
    """Both must agree closely on the same text.

    A miscompiled kernel may also be wrong without crashing.
    """
    text = Path(__file__).read_text("utf-8")[:1500]
    found = []
    for extra in (embedded.extra_buffers, False):
        with Engine.load(embedded.path, n_ctx=1024, k_max=1, model_id="m", extra_buffers=extra) as engine:
            logits = engine.logits(engine.tokenize(text)).astype(np.float64)
            found.append(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    fast, plain = found
    divergence = (np.exp(plain) * (plain - fast)).sum(axis=1)
    assert divergence.mean() < 0.02, "nats; requantizing to 8 bits itself costs 0.005"
    assert (fast.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.9
