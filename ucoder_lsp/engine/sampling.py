"""Token sampling from logits, vectorised over the vocabulary. Pure numpy, no model.

A candidate uses one uniform number per token, from its own stream derived from (seed, candidate). So its text does not
depend on how many others are sampled, nor on which of them share a row. The token is found by inverting the cumulative
distribution over the kept tokens (exact nucleus sampling, Holtzman et al. 2020), in order of their ids. In order of
probability a rounding difference would swap two nearly equal tokens; in order of ids it only moves a border slightly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ucoder_lsp.engine.types import Sampling

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def uniforms(seed: int, candidate: int, n_tokens: int) -> Floats:
    """Return the stream of one candidate: shape (n_tokens,), in [0, 1)."""
    return np.random.default_rng(np.random.SeedSequence([seed & (2**63 - 1), candidate])).random(n_tokens)


class RowSampler:
    """The distribution of one row of logits, from which tokens are sampled."""

    __slots__ = ("_cumulative", "_log_norm", "_logits", "_tokens")

    def __init__(self, logits: NDArray[np.float32], sampling: Sampling) -> None:
        """Compute the distribution of logits of shape (vocabulary,)."""
        top = int(np.argmax(logits))
        peak = float(logits[top])
        self._logits = logits
        exponentials = np.exp(logits - np.float32(peak))
        self._log_norm = peak + float(np.log(exponentials.sum(dtype=np.float64)))
        if sampling.temperature <= 0:
            self._tokens: Ints = np.array([top])
            self._cumulative: Floats = np.ones(1)
            return
        if sampling.temperature != 1:
            exponentials = np.exp((logits - np.float32(peak)) * np.float32(1 / sampling.temperature))
        self._tokens, kept = _kept(exponentials, sampling)
        cumulative = np.cumsum(kept)
        self._cumulative = cumulative / cumulative[-1]

    def draw(self, uniform: float) -> int:
        """Return the token at this point of the cumulative distribution."""
        place = int(np.searchsorted(self._cumulative, uniform, side="right"))
        return int(self._tokens[min(place, len(self._tokens) - 1)])

    def logprob(self, token: int) -> float:
        """Return the natural log-probability at temperature 1, before any filter."""
        return float(self._logits[token]) - self._log_norm


def _kept(weights: NDArray[np.float32], sampling: Sampling) -> tuple[Ints, Floats]:
    """Return the tokens that top-k, top-p and min-p keep.

    They are ordered by id and come with their weights. A weight is exp(logit - peak), not normalised: 1 for the most
    probable token.
    """
    total = float(weights.sum(dtype=np.float64))
    # Tokens below (1 - top_p) / V of the mass weigh less than 1 - top_p together, so the nucleus lies above
    # this line. Only a few hundred of 50,000 tokens are sorted, and the result stays exact.
    line = max(sampling.min_p, (1 - sampling.top_p) / len(weights) * total if sampling.top_p < 1 else 0.0)
    tokens = np.flatnonzero(weights >= line) if line > 0 else np.arange(len(weights))
    if 0 < sampling.top_k < len(tokens):
        of_kept = weights[tokens]
        tokens = tokens[of_kept >= np.partition(of_kept, -sampling.top_k)[-sampling.top_k]]
    elif sampling.top_p >= 1:
        return tokens, weights[tokens].astype(np.float64)  # nothing is cut: no sort needed
    order = tokens[np.argsort(-weights[tokens], kind="stable")]
    if sampling.top_k > 0:
        order = order[: sampling.top_k]  # ties at the border keep the lower ids
    if sampling.top_p < 1:
        before = np.cumsum(weights[order], dtype=np.float64) - weights[order]
        order = order[: max(1, int(np.searchsorted(before, sampling.top_p * total, side="left")))]
    tokens = np.sort(order)
    return tokens, weights[tokens].astype(np.float64)
