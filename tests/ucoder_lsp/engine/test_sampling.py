"""Token sampling: the distribution is the one that the parameters define."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ucoder_lsp.engine.sampling import RowSampler, uniforms
from ucoder_lsp.engine.types import Sampling

logits = arrays(np.float32, st.integers(1, 60), elements=st.floats(-20, 20, width=32))


def naive_kept(row: np.ndarray, sampling: Sampling) -> list[int]:
    """Return the tokens that may be sampled, computed directly from the definitions."""
    weights = np.exp((row.astype(np.float64) - row.max()) / sampling.temperature)
    probabilities = weights / weights.sum()
    order = sorted(range(len(row)), key=lambda t: (-weights[t], t))
    if sampling.top_k:
        order = order[: sampling.top_k]
    order = [t for t in order if weights[t] >= sampling.min_p]
    kept, mass = [], 0.0
    for token in order:
        if kept and mass >= sampling.top_p:
            break
        kept.append(token)
        mass += probabilities[token]
    return kept


def drawable(row: np.ndarray, sampling: Sampling) -> set[int]:
    sampler = RowSampler(row, sampling)
    return {sampler.draw(u) for u in np.linspace(0, 1, 20_001)[:-1]}


@given(
    row=logits,
    u=st.floats(0, 1, exclude_max=True),
    temperature=st.floats(0.05, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.integers(0, 5),
    min_p=st.floats(0, 0.5),
)
def test_only_kept_tokens_are_sampled(
    row: np.ndarray, u: float, temperature: float, top_p: float, top_k: int, min_p: float
) -> None:
    sampling = Sampling(temperature, top_p, top_k, min_p)
    token = RowSampler(row, sampling).draw(u)
    # A token whose mass lies within rounding of the border may fall on either side of it.
    wider = Sampling(temperature, min(1.0, top_p + 1e-4), 0, min_p * (1 - 1e-4))
    rank = int((row > row[token] + 1e-6 * (1 + abs(row[token]))).sum())
    kept = naive_kept(row, wider)
    assert any(
        abs(float(row[token]) - float(row[t])) <= 1e-6 * (1 + abs(row[t])) for t in kept
    )  # or float32's rounding
    assert not top_k or rank < top_k


def test_nucleus_is_exactly_the_smallest_set_of_that_mass() -> None:
    row = np.log(np.array([0.05, 0.5, 0.25, 0.15, 0.05], np.float32))
    assert drawable(row, Sampling(1.0, top_p=0.74)) == {1, 2}
    assert drawable(row, Sampling(1.0, top_p=0.76)) == {1, 2, 3}
    assert drawable(row, Sampling(1.0, top_p=1.0)) == {0, 1, 2, 3, 4}
    assert drawable(row, Sampling(1.0, top_p=1.0, top_k=2)) == {1, 2}
    assert drawable(row, Sampling(1.0, top_p=1.0, min_p=0.4)) == {1, 2}


def test_frequencies_follow_the_distribution() -> None:
    row = np.random.default_rng(1).normal(0, 2, 300).astype(np.float32)
    sampler = RowSampler(row, Sampling(0.7, top_p=1.0))
    n = 40_000
    counts = np.bincount([sampler.draw(u) for u in uniforms(3, 0, n)], minlength=300)
    expected = np.exp(row / 0.7 - np.logaddexp.reduce(row.astype(np.float64) / 0.7))
    chi2 = float((((counts - n * expected) ** 2) / (n * expected))[expected * n >= 5].sum())
    assert chi2 < 1.5 * int((expected * n >= 5).sum())


def test_temperature_zero_is_the_most_probable_token() -> None:
    row = np.array([0.0, 3.0, 2.0], np.float32)
    assert drawable(row, Sampling(temperature=0)) == {1}


@given(row=logits)
def test_logprobs_are_a_softmax_at_temperature_one(row: np.ndarray) -> None:
    sampler = RowSampler(row, Sampling(0.3, 0.5))
    logs = [sampler.logprob(t) for t in range(len(row))]
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(logs, row - np.logaddexp.reduce(row.astype(np.float64)), atol=1e-5)


@given(seed=st.integers(0, 2**40), i=st.integers(0, 200), n=st.integers(1, 20))
def test_streams_are_independent_and_repeatable(seed: int, i: int, n: int) -> None:
    assert np.array_equal(uniforms(seed, i, n), uniforms(seed, i, n + 5)[:n])
    assert not np.array_equal(uniforms(seed, i, n), uniforms(seed, i + 1, n))
    assert not np.array_equal(uniforms(seed, i, n), uniforms(seed + 1, i, n))
