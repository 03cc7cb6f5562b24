"""The requests and results of the engine, shared by all its callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Sampling:
    """The parameters of sampling.

    Temperature 0 is greedy: all candidates are equal, so use K = 1.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    """0 means no limit."""
    min_p: float = 0.0
    seed: int = 0
    """Candidate i of a request has its own random stream, derived from (seed, i)."""


class Finish(StrEnum):
    """The reason why a candidate ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for K candidates from one prompt."""

    prompt: tuple[int, ...]
    """Token ids (`Engine.tokenize`)."""
    k: int = 8
    max_tokens: int = 128
    """New tokens per candidate, at most."""
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """A candidate ends before the first of these strings."""
    stop_when: Callable[[str], int | None] | None = None
    """Called in the engine's thread with the text so far after each token; a returned index ends the candidate at
    text[:index]. An exception in it fails the request."""
    deadline_s: float | None = None
    """Seconds from submission; the text decoded by then is returned, marked DEADLINE."""
    adapter: str | None = None
    """Identity of a loaded adapter; None for the base model."""
    kept_prefix: int | None = None
    """None starts from the longest prefix in the cache. A number makes the answer independent of earlier requests: that
    many leading tokens are computed separately and kept for the next request that begins with them. The others are
    computed anew. Without it a prompt computed in other chunks rounds differently, which can change a sampled token."""
    on_candidate: Callable[[int, Candidate], None] | None = None
    """Called in the engine's thread with (index, candidate) as each one ends, while others are still decoded. It must
    return at once. An exception in it fails the request."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sampled continuation."""

    text: str
    tokens: tuple[int, ...]
    """Without the token that ended it; where a stop rule cut the text, the last token may extend beyond the cut."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each token under the model at temperature 1."""
    finish: Finish

    @property
    def mean_logprob(self) -> float:
        """The mean log-probability of the tokens, as a measure of fluency.

        Perplexity is exp of its negative. 0.0 for an empty candidate.
        """
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to a request, and its cost."""

    candidates: tuple[Candidate, ...]
    adapter: str | None
    """The adapter that computed the candidates."""
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    """Prompt tokens that were already in the KV cache."""
    n_rows: int = 0
    """Rows decoded after the prompt; equal candidates share rows (see `trie`)."""
    n_steps: int = 0
    """Decodes after the prompt, each of one row per distinct candidate."""
    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
