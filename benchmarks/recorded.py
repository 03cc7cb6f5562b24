"""Keep the samples of an engine, so that a measurement can go on and be judged again.

Not a benchmark: `offered.py` and `confidence.py` use it. Sampling takes hours, and everything behind it takes seconds.
So the answers are kept under a key of the model and the request. Another filter, other inputs or another rule then
judge the very same samples, and a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest
from ucoder_lsp.files import write_atomically

STOPS = 1
"""Version of the rules that end a candidate (`completion.stops`): samples of other rules are not comparable."""


class RecordedTicket:
    """The answer to a request, as `Engine.submit` gives it."""

    def __init__(self, generation: Generation) -> None:
        self.future: Future[Generation] = Future()
        self.future.set_result(generation)

    def cancel(self) -> None:
        """Do nothing: the answer is there."""


class RecordedEngine:
    """An engine that samples each request once, without early stopping."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.n_sampled = 0
        """Requests that were sampled now, and not read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: GenerationRequest) -> RecordedTicket:
        path = self._folder / f"{self._key(request)}.json"
        if path.exists():
            return RecordedTicket(_generation(json.loads(path.read_text("utf-8"))))
        generation = self._engine.generate(replace(request, on_candidate=None))
        self.n_sampled += 1
        write_atomically(path, json.dumps(asdict(generation)))
        return RecordedTicket(generation)

    def _key(self, request: GenerationRequest) -> str:
        parts = (
            self._engine.model_id,
            request.prompt,
            request.k,
            request.max_tokens,
            request.sampling,
            request.adapter,
            STOPS,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _generation(data: dict[str, Any]) -> Generation:
    candidates = tuple(
        Candidate(c["text"], tuple(c["tokens"]), tuple(c["logprobs"]), Finish(c["finish"]))
        for c in data.pop("candidates")
    )
    return Generation(candidates=candidates, **data)
