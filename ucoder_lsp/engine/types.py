"""What goes into the engine and what comes out: data shared by the server, the trainer and the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy: then every candidate is the same, so ask for K = 1."""

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    """0 turns it off."""
    min_p: float = 0.0
    seed: int = 0
    """Candidate i of a request draws from its own stream, derived from (seed, i)."""


class Finish(StrEnum):
    """Why a candidate ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """K candidates from one prompt."""

    prompt: tuple[int, ...]
    """Token ids (`Engine.tokenize`)."""
    k: int = 8
    max_tokens: int = 128
    """New tokens for each candidate."""
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """A candidate ends before the first of these strings."""
    stop_when: Callable[[str], int | None] | None = None
    """Called in the engine's thread with the text so far after each token; an index ends the candidate there:
    text[:index]. An exception in it fails the request."""
    deadline_s: float | None = None
    """Seconds from submission; what is decoded by then is returned, marked DEADLINE."""
    adapter: str | None = None
    """Identity of a loaded adapter version, or None for the base model."""
    kept_prefix: int | None = None
    """None starts from whatever the prefix cache holds. A number makes the answer independent of what was asked before
    (a prompt computed in other pieces rounds differently, and a sampled token can tip over): so many leading tokens are
    computed by themselves and kept for the next request that begins with them, the others anew."""
    on_candidate: Callable[[int, Candidate], None] | None = None
    """Called in the engine's thread with (index, candidate) as each one ends, so that it can be run while
    others are still decoded; it must return at once. An exception in it fails the request."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sampled continuation."""

    text: str
    tokens: tuple[int, ...]
    """Without the token that ended it; where a stop rule cut the text, the last may reach beyond the cut."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each token under the model at temperature 1."""
    finish: Finish

    @property
    def mean_logprob(self) -> float:
        """Fluency: mean log-probability (perplexity is exp of its negative); 0.0 for an empty candidate."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to a request, with what it cost."""

    candidates: tuple[Candidate, ...]
    adapter: str | None
    """The adapter the candidates were really computed with."""
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    """Prompt tokens that were already in the KV cache."""
    n_rows: int = 0
    """Rows decoded after the prompt: equal candidates share rows (decoding the trie)."""
    n_steps: int = 0
    """Decodes after the prompt, each of one row per distinct candidate."""
    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
