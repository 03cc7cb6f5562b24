"""Text in, n sampled texts out: the engines as the loop and the evaluation see them.

The same request gives the same texts whatever was asked before, so that a figure can be reproduced
(`GenerationRequest.kept_prefix`). What it does not do: read adapters from the registry, or decide what to ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from trainer.errors import BaseModelError
from trainer.run.store import Store
from trainer.sampling.engines import Engines
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.prefix_cache import common_prefix
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling

PROMPTS = Path(__file__).parent / "prompts"
_OWN = "\x1e"
"""Record separator: in a template, where what many prompts share ends and what is one problem's own begins."""

Chat = Callable[[str], str]
"""A model's chat template: what a user says, as a prompt (`Sampler.chat`)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to continue."""

    text: str
    n_shared: int = 0
    """Characters at its beginning that other prompts have too: computed once for those asked one after the other."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How to sample."""

    n: int
    max_tokens: int
    temperature: float
    seed: int
    stop: tuple[str, ...] = ()
    top_p: float = 0.95


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled text."""

    text: str
    mean_logprob: float
    """Natural log, mean over its tokens at temperature 1: perplexity is exp of its negative."""
    finished: bool
    """False when it was cut off by the token limit."""


class Sampler:
    """Samples from a model, with one adapter or none; as many threads may ask at once as there are engines."""

    def __init__(self, engines: Engines, adapter: str | None = None) -> None:
        """`adapter` is an identity loaded into the engines."""
        self.engines = engines
        self.adapter = adapter

    def sample(
        self, prompt: Prompt, draw: Draw, stop_when: Callable[[str], int | None] | None = None
    ) -> list[Sample]:
        """`draw.n` continuations of `prompt` (chat markers in it count as such).

        Raises:
            BaseModelError: the prompt does not fit, the model fails, or it was closed meanwhile.
        """
        try:
            request = self._request(prompt, draw, stop_when)
            with self.engines.one() as engine:
                answer = engine.generate(request)
        except EngineError as error:
            raise BaseModelError(f"The model could not be sampled: {error}") from error
        if any(c.finish is Finish.CANCELLED for c in answer.candidates):
            raise BaseModelError("Sampling was stopped.")  # half a text must not pass for a sample
        return [
            Sample(c.text, finite(c.mean_logprob), c.finish is not Finish.LENGTH) for c in answer.candidates
        ]

    def sample_once(
        self, store: Store, stage: str, prompt: Prompt, draw: Draw,
        stop_when: Callable[[str], int | None] | None = None,
    ) -> list[Sample]:  # fmt: skip
        """`sample`, or what the same model and adapter were found to say before, as a shard of `stage`."""
        made_from = [
            self.engines.first.model_id, self.adapter or "", asdict(prompt), asdict(draw),
            stop_when.__name__ if stop_when else "",
        ]  # fmt: skip
        made = store.get_or_make(
            stage, made_from, lambda: [asdict(s) for s in self.sample(prompt, draw, stop_when)]
        )
        return [Sample(**sample) for sample in made]

    def _request(
        self, prompt: Prompt, draw: Draw, stop_when: Callable[[str], int | None] | None
    ) -> GenerationRequest:
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
            stop_when=stop_when,
            adapter=self.adapter,
            kept_prefix=common_prefix(shared, tokens[:-1]),
        )

    def user_turn(self, beginning: str) -> str | None:
        """The prompt in which the user is still speaking; None for a base without a chat template."""
        if not self.engines.first.chat_template:
            return None
        turn = chat.around_user_text(self.chat)
        return None if turn is None else turn[0] + beginning

    def chat(self, user: str) -> str:
        """The prompt that asks `user` as a chat turn; plain text for a base without a chat template."""
        engine = self.engines.first
        if not engine.chat_template:
            return f"{user}\n\n"
        try:
            return chat.render_turn(engine.chat_template, engine.vocab, user)
        except chat.ChatRefused as error:
            raise BaseModelError(str(error)) from error


def finite(value: float) -> float:
    """A log-probability that JSON can hold."""
    return round(value, 6) if math.isfinite(value) else -99.0


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # Prompts are plain text for a model: there is no HTML to escape.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PROMPTS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )


def render(name: str, **values: Any) -> Prompt:
    """The prompt template `prompts/NAME.j2`, filled in. Trailing space is cut: token healing."""
    shared, mark, own = (
        _environment().get_template(f"{name}.j2").render(own=_OWN, **values).rstrip().partition(_OWN)
    )
    return Prompt(shared + own, len(shared) if mark else 0)
