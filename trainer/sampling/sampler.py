"""A prompt in, n sampled texts out.

The stages and the evaluation use the engines through this module.

The same request gives the same texts whatever requests came before, so that a figure can be reproduced
(`GenerationRequest.kept_prefix`). It does not read adapters from the registry, and does not write prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from trainer.errors import BaseModelError
from trainer.run.store import Stage, Store
from trainer.sampling.answers import StopRule
from trainer.sampling.engines import Engines
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.prefix_cache import common_prefix
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling

PROMPTS = Path(__file__).parent / "prompts"
_OWN = "\x1e"
"""Record separator: in a template, the end of the part that many prompts share."""

Chat = Callable[[str], str]
"""A model's chat template: turns a user's message into a prompt (`Sampler.chat`)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to continue."""

    text: str
    n_shared: int = 0
    """Characters at its beginning that other prompts share: prefilled once for consecutive prompts."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The parameters of sampling."""

    n: int
    """Number of texts."""
    max_tokens: int
    temperature: float
    seed: int
    stop: tuple[str, ...] = ()
    """Texts that end a sample."""
    top_p: float = 0.95


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled text."""

    text: str
    mean_logprob: float
    """Natural log, mean over its tokens at temperature 1; the perplexity is exp of its negative."""
    finished: bool
    """False when the token limit cut it off."""


class Sampler:
    """Samples from a model, with one adapter or none.

    One thread per engine may sample at once.
    """

    def __init__(self, engines: Engines, adapter: str | None = None) -> None:
        """Sample with `engines`.

        `adapter` is the identity of one that is loaded into them.
        """
        self.engines = engines
        self.adapter = adapter

    def sample(self, prompt: Prompt, draw: Draw, stop: StopRule | None = None) -> list[Sample]:
        """Sample `draw.n` continuations of `prompt` (chat markers in it count as such).

        Raises:
            BaseModelError: the prompt does not fit, the model fails, or it was closed meanwhile.
        """
        try:
            request = self._request(prompt, draw, stop)
            with self.engines.one() as engine:
                answer = engine.generate(request)
        except EngineError as error:
            raise BaseModelError(f"The model could not be sampled: {error}") from error
        if any(c.finish is Finish.CANCELLED for c in answer.candidates):
            raise BaseModelError("Sampling was stopped.")  # half a text must not count as a sample
        return [
            Sample(c.text, finite(c.mean_logprob), c.finish is not Finish.LENGTH) for c in answer.candidates
        ]

    def sample_once(
        self, store: Store, stage: Stage, prompt: Prompt, draw: Draw, stop: StopRule | None = None
    ) -> list[Sample]:
        """Return the samples of this request from its shard, sampled if missing."""
        made_from = [
            self.engines.first.model_id, self.adapter or "", prompt, draw, stop.identifier if stop else "",
        ]  # fmt: skip
        return store.get_or_make(stage, made_from, lambda: self.sample(prompt, draw, stop), list[Sample])

    def _request(self, prompt: Prompt, draw: Draw, stop: StopRule | None) -> GenerationRequest:
        engine = self.engines.first
        tokens = engine.tokenize(prompt.text, special=True)
        shared = engine.tokenize(prompt.text[: prompt.n_shared], special=True)
        if len(tokens) + draw.max_tokens > engine.n_ctx:
            raise BaseModelError(
                f"A prompt of {len(tokens)} tokens and {draw.max_tokens} new ones does not fit the context of "
                f"{engine.n_ctx}: use a base with a longer context."
            )
        return GenerationRequest(
            prompt=tokens,
            k=draw.n,
            max_tokens=draw.max_tokens,
            sampling=Sampling(temperature=draw.temperature, top_p=draw.top_p, seed=draw.seed),
            stop=draw.stop,
            stop_when=stop.find_end if stop else None,
            adapter=self.adapter,
            kept_prefix=common_prefix(shared, tokens[:-1]),
        )

    def user_turn(self, beginning: str) -> str | None:
        """Open a chat whose user turn is unfinished.

        Returns None for a base without a chat template.
        """
        if not self.engines.first.chat_template:
            return None
        turn = chat.around_user_text(self.chat)
        return None if turn is None else turn[0] + beginning

    def chat(self, user: str) -> str:
        """Make the prompt for a user's message.

        It is plain text for a base without a chat template.
        """
        engine = self.engines.first
        if not engine.chat_template:
            return f"{user}\n\n"
        try:
            return chat.render_turn(engine.chat_template, engine.vocab, user)
        except chat.ChatRefused as error:
            raise BaseModelError(str(error)) from error


def finite(value: float) -> float:
    """Round a log-probability to a value that JSON can hold."""
    return round(value, 6) if math.isfinite(value) else -99.0


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # Prompts are plain text for a model, not HTML to escape.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PROMPTS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )


def render(name: str, **values: Any) -> Prompt:
    """Fill in the prompt template `prompts/NAME.j2`.

    Trailing space is cut, because it would split a token.
    """
    shared, mark, own = (
        _environment().get_template(f"{name}.j2").render(own=_OWN, **values).rstrip().partition(_OWN)
    )
    return Prompt(shared + own, len(shared) if mark else 0)
