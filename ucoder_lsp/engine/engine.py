"""The engine: one thread with a llama.cpp context serves requests in order.

    with Engine.load(path, n_ctx=2048, k_max=8) as engine:
        prompt = engine.tokenize("def is_even(n):\\n    return")
        answer = engine.generate(GenerationRequest(prompt, k=4, max_tokens=8, stop=("\\n",)))

A request costs one prefill (less what the prefix cache holds), and then one row per step for each distinct candidate.
It can be cancelled between two decodes; prefill is split into chunks for the same reason. The engine does not batch
several requests, and does not rank them: the caller cancels stale ones.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np

from ucoder_lsp.engine.context import MAX_SEQUENCES, Context, LoadedModel, Logits
from ucoder_lsp.engine.errors import EngineClosed, EngineError, PromptTooLong
from ucoder_lsp.engine.runner import N_PROMPTS, PREFILL_CHUNK, SCORE_CHUNK, Runner
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.engine.types import Finish, Generation, GenerationRequest
from ucoder_lsp.files import file_sha256

T = TypeVar("T")
Jobs = queue.SimpleQueue[Callable[[], None] | None]
_Opened = tuple[LoadedModel, Runner, int]
"""A model, its runner, and the length of its context in tokens."""


class Ticket:
    """A submitted request."""

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.future: Future[Generation] = Future()
        self.submitted = time.monotonic()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop before the next decode.

        The result then holds the text so far, marked CANCELLED.
        """
        self._cancelled.set()

    def result(self, timeout: float | None = None) -> Generation:
        """Wait for the answer.

        Raises:
            EngineError: the request failed.
            TimeoutError: it takes longer than `timeout` seconds; it goes on.
        """
        return self.future.result(timeout)

    def interrupted(self) -> Finish | None:
        """Return the reason to stop now, or None."""
        if self._cancelled.is_set():
            return Finish.CANCELLED
        deadline = self.request.deadline_s
        if deadline is not None and time.monotonic() - self.submitted >= deadline:
            return Finish.DEADLINE
        return None


class Engine:
    """K candidates from one prompt on one model.

    Safe to use from any thread; must be closed.

    Attributes:
        model_id: identity of the weights, for cache keys.
        n_ctx: the most tokens of a prompt and its continuation.
        k_max: candidates decoded at once.
        model_name: the name in the file's metadata.
        chat_template: the model's own Jinja template, or None.
        vocab: special tokens, `vocab.fim` (None where the vocabulary has no fill-in-the-middle tokens).
    """

    def __init__(
        self,
        model: LoadedModel,
        runner: Runner,
        jobs: Jobs,
        thread: threading.Thread,
        *,
        model_id: str,
        n_ctx: int,
        k_max: int,
    ) -> None:
        """Hold a running engine; use `Engine.load` to start one."""
        self.model_id = model_id
        self.n_ctx = n_ctx
        self.k_max = k_max
        self.model_name = model.name
        self.chat_template = model.chat_template
        self.vocab = model.vocab
        self._runner = runner
        self._jobs = jobs
        self._thread = thread
        self._lock = threading.Lock()
        self._pending: set[Ticket] = set()
        self._closed = False
        _open_engines.add(self)

    @classmethod
    def load(
        cls,
        model_path: Path | str,
        *,
        n_ctx: int = 4096,
        k_max: int = 8,
        n_cells: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int = -1,
        extra_buffers: bool = True,
        model_id: str | None = None,
        share_rows: bool = True,
    ) -> Engine:
        """Load a GGUF model.

        Args:
            n_ctx: the most tokens of a prompt and its continuation; at most what the model was trained for.
            k_max: candidates decoded at once; a request for more starts the rest as others end.
            n_cells: tokens that the KV cache holds for all candidates; by default n_ctx plus 128 per candidate.
            n_threads: by default the cores that this process may use.
            n_gpu_layers: layers on a GPU where llama.cpp was built for one; negative means all.
            extra_buffers: `PreparedModel.extra_buffers`; False where llama.cpp's fastest kernels crash.
            model_id: identity for cache keys (`PreparedModel.model_id`); by default the file's SHA-256.
            share_rows: False decodes one row per candidate, for comparison.

        Raises:
            ModelLoadError: the file is missing, damaged or of an unknown architecture.
            EngineError: a context of this size cannot be opened.
        """
        path = Path(model_path)
        _check_sizes(n_ctx, k_max)

        def open_model() -> _Opened:
            model = LoadedModel(path, n_gpu_layers, extra_buffers)
            length = min(n_ctx, model.n_ctx_train)
            cells = length + 128 * k_max if n_cells is None else max(length, n_cells)
            context = _open_context(model, cells, k_max, n_threads or default_threads())
            return model, Runner(model, context, k_max=k_max, share_rows=share_rows), length

        jobs: Jobs = queue.SimpleQueue()
        opened: Future[_Opened] = Future()
        arguments = (jobs, open_model, opened)
        thread = threading.Thread(target=_work, args=arguments, name="ucoder-engine", daemon=True)
        thread.start()
        model, runner, length = opened.result()
        model_id = model_id or file_sha256(path)
        return cls(model, runner, jobs, thread, model_id=model_id, n_ctx=length, k_max=k_max)

    def tokenize(self, text: str, special: bool = False) -> tuple[int, ...]:
        """Return the token ids of a text.

        `special` reads chat and fill-in-the-middle markers as tokens; never set it for a user's text.

        Raises:
            EngineClosed: after `close`.
        """
        return self.vocab.tokenize(text, special)

    def submit(self, request: GenerationRequest) -> Ticket:
        """Queue a request.

        Raises:
            PromptTooLong: it does not fit; the error holds the longest prompt that does.
            EngineError: k or max_tokens is 0, or the model does not have these tokens.
            EngineClosed: after `close`.
        """
        self._check(request.prompt, request.max_tokens)
        if request.k < 1 or request.max_tokens < 1:
            raise EngineError(
                f"k is {request.k} and max_tokens {request.max_tokens}: use at least one of each."
            )
        if request.kept_prefix is not None and not 0 <= request.kept_prefix < len(request.prompt):
            raise EngineError(
                f"kept_prefix is {request.kept_prefix}: keep less than the {len(request.prompt)} tokens of the prompt."
            )
        ticket = Ticket(request)
        with self._lock:
            self._pending.add(ticket)
        ticket.future.add_done_callback(lambda _: self._pending.discard(ticket))
        self._enqueue(
            ticket.future,
            lambda: self._runner.answer(request, time.monotonic() - ticket.submitted, ticket.interrupted),
        )
        return ticket

    def generate(self, request: GenerationRequest) -> Generation:
        """Submit and wait; raises what `submit` and `Ticket.result` raise."""
        return self.submit(request).result()

    def logits(self, tokens: Sequence[int], adapter: str | None = None) -> Logits:
        """Return the logits after each token, for scoring and tests.

        Their shape is (len(tokens), vocabulary).

        Raises:
            PromptTooLong, UnknownAdapter, EngineError, EngineClosed: as for a request.
        """
        prompt = tuple(tokens)
        self._check(prompt, 0)
        future: Future[Logits] = Future()
        self._enqueue(future, lambda: self._runner.score(prompt, adapter))
        return future.result()

    def logprobs(
        self, prompt: Sequence[int], continuation: Sequence[int], adapter: str | None = None
    ) -> list[float]:
        """Return the natural log-probability of each continuation token.

        The temperature is 1. Raises as `logits`.
        """
        if not prompt or not continuation:
            raise EngineError(
                "Scoring needs a prompt of at least one token and a continuation of at least one."
            )
        tokens = (*prompt, *continuation)
        rows = self.logits(tokens[:-1], adapter)[len(prompt) - 1 :].astype(np.float64)
        peak = rows.max(axis=1)
        log_norm = peak + np.log(np.exp(rows - peak[:, None]).sum(axis=1))
        return [
            float(row[token] - norm) for row, token, norm in zip(rows, continuation, log_norm, strict=True)
        ]

    def load_adapter(self, path: Path | str, identity: str) -> None:
        """Load a LoRA GGUF so that requests may name it.

        It is loaded after the requests that are already in the queue.

        Raises:
            AdapterLoadError: it is missing, damaged, made for another model, or the identity names another file.
        """
        future: Future[None] = Future()
        self._enqueue(future, lambda: self._runner.adapters.add(identity, Path(path)))
        future.result()

    def close(self) -> None:
        """Free the model and refuse new requests.

        Pending ones return CANCELLED with their text so far.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                for ticket in tuple(self._pending):
                    ticket.cancel()
                self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # The engine's thread frees the model: this method may run in any thread, at any time.
        if hasattr(self, "_jobs"):
            self._jobs.put(None)

    def _check(self, prompt: tuple[int, ...], n_new: int) -> None:
        if not prompt:
            raise EngineError("The prompt is empty: it needs at least one token (the vocabulary's bos, say).")
        if len(prompt) + n_new > self.n_ctx:
            raise PromptTooLong(len(prompt), n_new, self.n_ctx)
        # llama.cpp uses tokens as indices without checking them.
        if min(prompt) < 0 or max(prompt) >= self.vocab.n_tokens:
            raise EngineError(
                f"The prompt has tokens outside 0 to {self.vocab.n_tokens - 1}: use this engine's tokenize."
            )

    def _enqueue(self, future: Future[T], work: Callable[[], T]) -> None:
        """Run `work` in the engine's thread; the future gets its result."""

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = work()
            except BaseException as error:  # the waiting caller gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._closed:
                raise EngineClosed()
            self._jobs.put(job)


def _check_sizes(n_ctx: int, k_max: int) -> None:
    if not 1 <= k_max <= MAX_SEQUENCES - N_PROMPTS:
        raise EngineError(
            f"k_max is {k_max}: use 1 to {MAX_SEQUENCES - N_PROMPTS} (a request's k may be larger)."
        )
    if n_ctx < 16:
        raise EngineError(f"n_ctx is {n_ctx}: use at least 16.")


def _open_context(model: LoadedModel, n_cells: int, k_max: int, n_threads: int) -> Context:
    """Open a context for the model, or close the model."""
    try:
        return Context(
            model,
            n_cells=n_cells,
            n_seq=N_PROMPTS + k_max,
            n_rows=max(k_max, SCORE_CHUNK),
            n_batch=max(k_max, PREFILL_CHUNK),
            n_threads=n_threads,
        )
    except EngineError:
        model.close()
        raise


def _work(jobs: Jobs, open_model: Callable[[], _Opened], opened: Future[_Opened]) -> None:
    """Run the engine's thread.

    It opens the model, does jobs in order until None, and closes the model.

    All of llama.cpp runs in this one thread. GNU's OpenMP keeps a team of threads for each thread that ever used one.
    With a second team (of the thread that loaded the model) it assumes oversubscribed cores and stops spinning at
    barriers: a step takes 35 ms instead of 10 (docs/decisions.md, "One OpenMP team").

    The thread holds the queue and the runner but not the engine, so an unused engine can be collected.
    """
    try:
        model, runner, length = open_model()
    except BaseException as error:  # the waiting caller of `load` gets it
        opened.set_exception(error)
        return
    opened.set_result((model, runner, length))
    del opened
    while (job := jobs.get()) is not None:
        job()
        del job  # its closure holds the engine
    runner.close()


_open_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close all engines at exit.

    A thread inside llama.cpp crashes while the interpreter shuts down.
    """
    for engine in tuple(_open_engines):
        engine.close()
