"""Continuous batching: the requests of many threads, decoded together on a GPU.

It answers as an engine does (`ucoder_lsp.engine.Engine`), so the loop does not know the difference. What a text draws
depends on its own stream alone, as there; but a GPU rounds otherwise when other texts stand beside it, so a repeated
run may draw another token where two were nearly as likely. Shards keep what was drawn.

One thread owns the GPU. It launches the next step before it reads the tokens of the last, so that text, stop rules
and computing go on side by side; a text that has ended is noticed one step late, and that token is dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.models.base import computes_in_bfloat16
from ucoder_lsp.engine.continuation import Continuation
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineClosed, EngineError, PromptTooLong
from ucoder_lsp.engine.sampling import uniforms
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest
from ucoder_lsp.engine.vocab import Vocab

if TYPE_CHECKING:
    from trainer.sampling.slots import Slots

MAX_SLOTS = 1024
MEMORY_SHARE = 0.5
"""Of the GPU's free memory, for the cache."""
ADMIT_AT = 8
"""New texts wait until they are one for so many that run: their prompts' pass takes as long as several steps."""


@dataclass(slots=True)
class _Asked:
    """A request, until all its texts have ended."""

    request: GenerationRequest
    future: Future[Generation] = field(default_factory=Future)
    found: dict[int, Candidate] = field(default_factory=dict)
    """By number of the text."""


@dataclass(slots=True)
class _Text:
    """What stands in a slot."""

    asked: _Asked
    number: int
    so_far: Continuation
    n_cells: int
    """Tokens of the prompt and of what was drawn, the one being drawn included."""


class BatchedEngine:
    """Many requests at once on one model. Safe to use from any thread; close it when done.

    Attributes as `Engine` has them; vocabulary and chat template are those of the file that is served.
    """

    def __init__(
        self,
        served: Engine | BatchedEngine,
        folder: Path,
        *,
        adapter: Path | None = None,
        n_slots: int | None = None,
        device: str = "cuda",
    ) -> None:
        """Load the model of `folder`, the same one as `served`, with a PEFT `adapter` or with none.

        Raises:
            EngineError: the GPU has too little memory.
        """
        self.model_id: str = served.model_id
        self.n_ctx: int = served.n_ctx
        self.chat_template: str | None = served.chat_template
        self.vocab: Vocab = served.vocab
        self._folder, self._device, self._wanted_slots = folder, device, n_slots
        self._adapted: dict[str, BatchedEngine] = {}
        self._inbox = _Inbox()
        opened: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(adapter, opened), name="ucoder-batching", daemon=True
        )
        self._thread.start()
        self.n_slots = opened.result()

    def tokenize(self, text: str, special: bool = False) -> tuple[int, ...]:
        """As `Engine.tokenize`."""
        return self.vocab.tokenize(text, special)

    def generate(self, request: GenerationRequest) -> Generation:
        """All texts of a request; waits for them.

        Raises:
            EngineError: the request does not fit, or the GPU failed.
            EngineClosed: after `close`.
        """
        if request.adapter is not None:
            answer = self._adapted[request.adapter].generate(replace(request, adapter=None))
            return replace(answer, adapter=request.adapter)
        if not request.prompt:
            raise EngineError("The prompt is empty: give it at least one token.")
        if len(request.prompt) + request.max_tokens > self.n_ctx:
            raise PromptTooLong(len(request.prompt), request.max_tokens, self.n_ctx)
        if request.sampling.top_k or request.sampling.min_p or request.deadline_s or request.on_candidate:
            raise EngineError(
                "This engine knows no top-k, min-p, deadline or on_candidate: the trainer needs none."
            )
        asked = _Asked(request)
        self._inbox.put(asked)
        return asked.future.result()

    def load_adapter(self, peft: Path, identity: str) -> None:
        """Let requests name a PEFT adapter: it is computed with weights of its own, beside the base's.

        Raises:
            EngineError: the GPU has too little memory.
        """
        if identity not in self._adapted:
            self._adapted[identity] = BatchedEngine(
                self, self._folder, adapter=peft, n_slots=self._wanted_slots, device=self._device
            )

    def close(self) -> None:
        """Free the GPU. What waits or runs comes back CANCELLED with what it has; what comes is refused."""
        for engine in self._adapted.values():
            engine.close()
        self._inbox.close()
        self._thread.join()

    def _work(self, adapter: Path | None, opened: Future[int]) -> None:
        try:
            slots = _open(self._folder, adapter, self._wanted_slots, self.n_ctx, self._device)
        except BaseException as error:  # it belongs to the caller who opens the engine
            opened.set_exception(error)
            return
        opened.set_result(slots.n)
        _Batch(slots, self.vocab, self._inbox).run()
        slots.free()


class _Inbox:
    """Requests on their way to the thread that owns the GPU."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.closed = False

    def put(self, asked: _Asked) -> None:
        """Raises `EngineClosed` after `close`: nobody would answer."""
        with self._lock:
            if self.closed:
                raise EngineClosed
            self._asked.put(asked)

    def take(self, *, wait: bool) -> Iterator[_Asked]:
        """What has come; `wait` for it where there is nothing else to do."""
        while wait or not self._asked.empty():
            asked = self._asked.get()
            if asked is None:
                return
            yield asked
            wait = False

    def close(self) -> None:
        """Nothing comes any more; ends a `take` that waits."""
        with self._lock:
            self.closed = True
            self._asked.put(None)


class _Batch:
    """What the thread knows: the texts in the slots, and what waits."""

    def __init__(self, slots: Slots, vocab: Vocab, inbox: _Inbox) -> None:
        self._slots = slots
        self._vocab = vocab
        self._inbox = inbox
        self._texts: dict[int, _Text] = {}
        self._free = list(range(slots.n))
        self._waiting: list[tuple[_Asked, int]] = []
        """Texts without a slot, first come last."""

    def run(self) -> None:
        """Until the engine is closed, or the GPU fails."""
        drawn: tuple[Any, Any, dict[int, _Text]] | None = None
        try:
            while not self._inbox.closed:
                self._take(wait=not self._texts and not self._waiting)
                self._admit()
                launched = self._launch()
                if drawn is not None:
                    self._read(*drawn)
                drawn = launched
        except Exception as error:  # it belongs to all who wait
            failed = EngineError(f"the GPU failed ({str(error).partition(chr(10))[0]})")
            self._end_all(failed)
        else:
            self._end_all(None)

    def _take(self, *, wait: bool) -> None:
        for asked in self._inbox.take(wait=wait):
            self._waiting[:0] = [(asked, number) for number in reversed(range(asked.request.k))]

    def _admit(self) -> None:
        """Waiting texts into free slots, those of one request side by side: their prompt is computed once."""
        if min(len(self._waiting), len(self._free)) * ADMIT_AT < max(1, len(self._texts)):
            return
        from trainer.sampling.slots import Beginning

        groups: dict[int, tuple[_Asked, list[int], list[int]]] = {}
        while self._waiting and self._free:
            asked, number = self._waiting.pop()
            slot = self._free.pop()
            _, numbers, taken = groups.setdefault(id(asked), (asked, [], []))
            numbers.append(number)
            taken.append(slot)
            so_far = Continuation(asked.request, self._vocab)
            self._texts[slot] = _Text(asked, number, so_far, len(asked.request.prompt))
        self._slots.begin(
            [
                Beginning(
                    asked.request.prompt, taken, _streams(asked.request, numbers),
                    asked.request.sampling.temperature, asked.request.sampling.top_p,
                )
                for asked, numbers, taken in groups.values()
            ]
        )  # fmt: skip

    def _launch(self) -> tuple[Any, Any, dict[int, _Text]] | None:
        """Begin a step for the texts there are; their tokens are read after the next one has begun."""
        if not self._texts:
            return None
        for text in self._texts.values():
            text.n_cells += 1
        tokens, logprobs = self._slots.step(max(text.n_cells for text in self._texts.values()))
        return tokens, logprobs, dict(self._texts)

    def _read(self, tokens: Any, logprobs: Any, texts: dict[int, _Text]) -> None:
        """The tokens of a step; texts that have ended leave their slots."""
        for slot, token, logprob in zip(texts, *_values(tokens, logprobs, list(texts)), strict=True):
            text = texts[slot]
            if self._texts.get(slot) is not text:
                continue  # it had ended with the token before
            try:
                candidate = text.so_far.extend(token, logprob)
            except Exception as error:  # of the caller's own stop rule: it belongs to the caller
                if not text.asked.future.done():
                    text.asked.future.set_exception(error)
                candidate = text.so_far.ended(Finish.CANCELLED)
            if candidate is not None:
                del self._texts[slot]
                self._free.append(slot)
                self._found(text.asked, text.number, candidate)

    def _found(self, asked: _Asked, number: int, candidate: Candidate) -> None:
        asked.found[number] = candidate
        if len(asked.found) == asked.request.k and not asked.future.done():
            candidates = tuple(asked.found[i] for i in range(asked.request.k))
            asked.future.set_result(
                Generation(candidates, asked.request.adapter, n_prompt_tokens=len(asked.request.prompt))
            )

    def _end_all(self, error: EngineError | None) -> None:
        """Nothing goes on: answer all who wait, also those who come while this is done."""
        self._inbox.close()
        self._take(wait=False)
        for text in self._texts.values():
            self._waiting.append((text.asked, text.number))
            text.asked.found[text.number] = text.so_far.ended(Finish.CANCELLED)
        for asked, number in self._waiting:
            if error is not None and not asked.future.done():
                asked.future.set_exception(error)
            self._found(asked, number, asked.found.get(number, Candidate("", (), (), Finish.CANCELLED)))


def _open(folder: Path, adapter: Path | None, n_slots: int | None, n_cells: int, device: str) -> Slots:
    import torch
    from transformers import AutoConfig

    from trainer.sampling.slots import Slots, bytes_of_a_cell

    dtype = torch.float32
    if device.startswith("cuda"):
        dtype = torch.bfloat16 if computes_in_bfloat16() else torch.float16
    try:
        if n_slots is None:
            weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            cells = (torch.cuda.mem_get_info()[0] - weights) * MEMORY_SHARE
            cells /= bytes_of_a_cell(AutoConfig.from_pretrained(folder), dtype)
            n_slots = max(1, min(MAX_SLOTS, int(cells) // n_cells))
        return Slots(folder, adapter, n_slots, n_cells, device, dtype)
    except torch.OutOfMemoryError as error:
        raise EngineError(
            "The GPU has too little memory for this base: free some, or use a smaller base."
        ) from error


def _streams(request: GenerationRequest, numbers: Sequence[int]) -> list[list[float]]:
    return [uniforms(request.sampling.seed, number, request.max_tokens).tolist() for number in numbers]


def _values(tokens: Any, logprobs: Any, slots: Sequence[int]) -> tuple[list[int], list[float]]:
    tokens, logprobs = tokens.tolist(), logprobs.tolist()  # waits for the step
    return [tokens[slot] for slot in slots], [logprobs[slot] for slot in slots]
