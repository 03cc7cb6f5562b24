"""Continuous batching: the requests of many threads, decoded together on a GPU.

Callers use it like an engine (`ucoder_lsp.engine.Engine`). What a text draws depends on its own random stream alone,
as there. But a GPU rounds differently when other texts are in the batch, so a repeated run may draw another token
where two were nearly equally likely. Shards keep what was drawn.

One thread owns the GPU. It launches the next step before it reads the tokens of the last, so that text, stop rules
and computing overlap. The end of a text is therefore noticed one step late, and that token is dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.hardware import free_gpu_bytes, sampling_dtype
from ucoder_lsp.engine.continuation import Continuation
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineClosed, EngineError, PromptTooLong
from ucoder_lsp.engine.sampling import uniforms
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest
from ucoder_lsp.engine.vocab import Vocab

if TYPE_CHECKING:
    from trainer.sampling.slots import Slots

MAX_SLOTS = 1024
CACHE_MEMORY_SHARE = 0.5
"""Share of the GPU's free memory that the KV cache takes."""
ADMIT_AT = 8
"""New texts wait until there is one for every so many running: prefill of their prompts takes as long as several
steps."""


@dataclass(slots=True)
class _PendingRequest:
    """A request, until all its texts have ended."""

    request: GenerationRequest
    future: Future[Generation] = field(default_factory=Future)
    finished: dict[int, Candidate] = field(default_factory=dict)
    """Ended texts by their number within the request."""


@dataclass(slots=True)
class _ActiveText:
    """The text that occupies a slot."""

    pending: _PendingRequest
    number: int
    continuation: Continuation
    n_cells: int
    """Tokens of the prompt and the continuation, including the token being drawn."""


class BatchedEngine:
    """Decodes many requests at once on one model.

    Safe to use from any thread; close it when done. Attributes as `Engine` has them; vocabulary and chat template are
    those of the served file.
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
        """Load the model of `folder`, the same one as `served`.

        A PEFT `adapter` is merged into its weights.

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
        """Tokenize as `Engine.tokenize` does."""
        return self.vocab.tokenize(text, special)

    def generate(self, request: GenerationRequest) -> Generation:
        """Generate all texts of a request; waits for them.

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
                "The batched engine supports neither top-k, min-p and deadlines nor on_candidate: leave them out."
            )
        pending = _PendingRequest(request)
        self._inbox.put(pending)
        return pending.future.result()

    def load_adapter(self, peft: Path, identity: str) -> None:
        """Load a PEFT adapter that requests may name.

        It gets its own copy of the weights.

        Raises:
            EngineError: the GPU has too little memory.
        """
        if identity not in self._adapted:
            self._adapted[identity] = BatchedEngine(
                self, self._folder, adapter=peft, n_slots=self._wanted_slots, device=self._device
            )

    def close(self) -> None:
        """Free the GPU.

        Unfinished texts come back CANCELLED as far as they are; new requests are refused.
        """
        for engine in self._adapted.values():
            engine.close()
        self._inbox.close()
        self._thread.join()

    def _work(self, adapter: Path | None, opened: Future[int]) -> None:
        try:
            slots = _open_slots(self._folder, adapter, self._wanted_slots, self.n_ctx, self._device)
        except BaseException as error:  # raised in the thread that opens the engine
            opened.set_exception(error)
            return
        opened.set_result(slots.n)
        _SlotBatch(slots, self.vocab, self._inbox).run()
        slots.free()


class _Inbox:
    """Requests on their way to the thread that owns the GPU."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_PendingRequest | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.closed = False

    def put(self, pending: _PendingRequest) -> None:
        """Add a request; raises `EngineClosed` after `close`, when no thread would answer."""
        with self._lock:
            if self.closed:
                raise EngineClosed
            self._requests.put(pending)

    def take(self, *, wait: bool) -> Iterator[_PendingRequest]:
        """Yield the requests that have arrived; with `wait`, block for the first."""
        while wait or not self._requests.empty():
            pending = self._requests.get()
            if pending is None:
                return
            yield pending
            wait = False

    def close(self) -> None:
        """Refuse further requests, and end a `take` that waits."""
        with self._lock:
            self.closed = True
            self._requests.put(None)


class _SlotBatch:
    """The state of the GPU's thread.

    It holds the active texts by slot, and the waiting texts.
    """

    def __init__(self, slots: Slots, vocab: Vocab, inbox: _Inbox) -> None:
        self._slots = slots
        self._vocab = vocab
        self._inbox = inbox
        self._texts: dict[int, _ActiveText] = {}
        self._free = list(range(slots.n))
        self._waiting: list[tuple[_PendingRequest, int]] = []
        """Texts without a slot; the next one to admit is last."""

    def run(self) -> None:
        """Decode until the engine is closed, or the GPU fails."""
        drawn: tuple[Any, Any, dict[int, _ActiveText]] | None = None
        try:
            while not self._inbox.closed:
                self._take(wait=not self._texts and not self._waiting)
                self._admit()
                launched = self._launch()
                if drawn is not None:
                    self._read(*drawn)
                drawn = launched
        except Exception as error:  # raised in every thread that waits
            failed = EngineError(f"The GPU failed ({str(error).partition(chr(10))[0]}).")
            self._end_all(failed)
        else:
            self._end_all(None)

    def _take(self, *, wait: bool) -> None:
        for pending in self._inbox.take(wait=wait):
            self._waiting[:0] = [(pending, number) for number in reversed(range(pending.request.k))]

    def _admit(self) -> None:
        """Move waiting texts into free slots; each prompt is computed once."""
        if min(len(self._waiting), len(self._free)) * ADMIT_AT < max(1, len(self._texts)):
            return
        from trainer.sampling.slots import PromptGroup

        groups: dict[int, tuple[_PendingRequest, list[int], list[int]]] = {}
        while self._waiting and self._free:
            pending, number = self._waiting.pop()
            slot = self._free.pop()
            _, numbers, taken = groups.setdefault(id(pending), (pending, [], []))
            numbers.append(number)
            taken.append(slot)
            continuation = Continuation(pending.request, self._vocab)
            self._texts[slot] = _ActiveText(pending, number, continuation, len(pending.request.prompt))
        self._slots.prefill(
            [
                PromptGroup(
                    pending.request.prompt, taken, _uniforms(pending.request, numbers),
                    pending.request.sampling.temperature, pending.request.sampling.top_p,
                )
                for pending, numbers, taken in groups.values()
            ]
        )  # fmt: skip

    def _launch(self) -> tuple[Any, Any, dict[int, _ActiveText]] | None:
        """Launch a step; its tokens are read after the next launch."""
        if not self._texts:
            return None
        for text in self._texts.values():
            text.n_cells += 1
        tokens, logprobs = self._slots.step(max(text.n_cells for text in self._texts.values()))
        return tokens, logprobs, dict(self._texts)

    def _read(self, tokens: Any, logprobs: Any, texts: dict[int, _ActiveText]) -> None:
        """Read the tokens of a step; ended texts leave their slots."""
        for slot, token, logprob in zip(texts, *_values(tokens, logprobs, list(texts)), strict=True):
            text = texts[slot]
            if self._texts.get(slot) is not text:
                continue  # it ended with the token before
            try:
                candidate = text.continuation.extend(token, logprob)
            except Exception as error:  # from the caller's own stop rule, so raised in the caller
                if not text.pending.future.done():
                    text.pending.future.set_exception(error)
                candidate = text.continuation.ended(Finish.CANCELLED)
            if candidate is not None:
                del self._texts[slot]
                self._free.append(slot)
                self._finish(text.pending, text.number, candidate)

    def _finish(self, pending: _PendingRequest, number: int, candidate: Candidate) -> None:
        pending.finished[number] = candidate
        if len(pending.finished) == pending.request.k and not pending.future.done():
            candidates = tuple(pending.finished[i] for i in range(pending.request.k))
            pending.future.set_result(
                Generation(candidates, pending.request.adapter, n_prompt_tokens=len(pending.request.prompt))
            )

    def _end_all(self, error: EngineError | None) -> None:
        """Answer every open request, including those that arrive meanwhile."""
        self._inbox.close()
        self._take(wait=False)
        for text in self._texts.values():
            self._waiting.append((text.pending, text.number))
            text.pending.finished[text.number] = text.continuation.ended(Finish.CANCELLED)
        for pending, number in self._waiting:
            if error is not None and not pending.future.done():
                pending.future.set_exception(error)
            never_begun = Candidate("", (), (), Finish.CANCELLED)
            self._finish(pending, number, pending.finished.get(number, never_begun))


def _open_slots(folder: Path, adapter: Path | None, n_slots: int | None, n_cells: int, device: str) -> Slots:
    """Load the model with `n_slots` slots of `n_cells` tokens each.

    None opens as many slots as the GPU's memory allows.
    """
    import torch
    from transformers import AutoConfig

    from trainer.sampling.slots import Slots, bytes_per_cell

    dtype = sampling_dtype(device)
    try:
        if n_slots is None:
            weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            cells = (free_gpu_bytes() - weights) * CACHE_MEMORY_SHARE
            cells /= bytes_per_cell(AutoConfig.from_pretrained(folder), dtype)
            n_slots = max(1, min(MAX_SLOTS, int(cells) // n_cells))
        return Slots(folder, adapter, n_slots, n_cells, device, dtype)
    except torch.OutOfMemoryError as error:
        raise EngineError(
            "The GPU has too little memory for this base: free some, or use a smaller base."
        ) from error


def _uniforms(request: GenerationRequest, numbers: Sequence[int]) -> list[list[float]]:
    return [uniforms(request.sampling.seed, number, request.max_tokens).tolist() for number in numbers]


def _values(tokens: Any, logprobs: Any, slots: Sequence[int]) -> tuple[list[int], list[float]]:
    tokens, logprobs = tokens.tolist(), logprobs.tolist()  # waits for the step
    return [tokens[slot] for slot in slots], [logprobs[slot] for slot in slots]
