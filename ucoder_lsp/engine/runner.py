"""The work of the engine's thread on one request: adapter, prefill, candidates.

Sequences 0 to N_PROMPTS - 1 of the KV cache hold recent prompts. For requests that must be reproducible they hold one
kept prefix and one prompt. The other sequences hold the branches of the current request. Not thread-safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ucoder_lsp.engine.adapters_runtime import LoadedAdapters
from ucoder_lsp.engine.context import Context, LoadedModel, Logits
from ucoder_lsp.engine.prefix_cache import PrefixCache
from ucoder_lsp.engine.trie import TrieDecoder
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest

N_PROMPTS = 4
"""Recent prompts that the prefix cache keeps."""
PREFILL_CHUNK = 128
"""Tokens between two checks of the deadline during prefill."""
SCORE_CHUNK = 32
"""Rows per decode when a text is scored. From 64 rows on llama.cpp uses another attention kernel. It rounds differently
from the rows that were sampled (docs/decisions.md, "Texts are scored in chunks of 32 rows")."""

Interrupted = Callable[[], Finish | None]


class Runner:
    """One model with its context, serving one request at a time."""

    def __init__(self, model: LoadedModel, context: Context, *, k_max: int, share_rows: bool) -> None:
        self.adapters = LoadedAdapters(model, context)
        self._model = model
        self._context = context
        self._k_max = k_max
        self._share_rows = share_rows
        self._prefixes = PrefixCache(N_PROMPTS)
        self._kept: tuple[int, ...] | None = None
        """The content of sequence 0 for requests with `kept_prefix`; None while the prefix cache uses the sequences."""

    def answer(self, request: GenerationRequest, queue_s: float, interrupted: Interrupted) -> Generation:
        """Serve a request that `Engine` has checked.

        Raises:
            UnknownAdapter, AdapterLoadError: the adapter cannot be used.
            EngineError: llama.cpp failed; the next request starts with an empty cache.
        """
        reason = interrupted()
        if reason is not None:
            return _nothing(request, reason, queue_s)
        self._use_adapter(request.adapter)
        try:
            return self._generate(request, queue_s, interrupted)
        except BaseException:
            self._forget_all()  # the bookkeeping may no longer match the cache
            raise

    def score(self, tokens: tuple[int, ...], adapter: str | None) -> Logits:
        """Return the logits after each token, without using the cache.

        Their shape is (n, vocabulary).
        """
        self._use_adapter(adapter)
        self._forget_all()
        rows = np.empty((len(tokens), self._model.vocab.n_tokens), np.float32)
        try:
            for start in range(0, len(tokens), SCORE_CHUNK):
                part = tokens[start : start + SCORE_CHUNK]
                self._decode_run(part, start, 0, all_logits=True)
                rows[start : start + len(part)] = self._context.logits(len(part))
        finally:
            self._forget_all()
        return rows

    def close(self) -> None:
        """Free the context, the adapters, the model."""
        self._context.close()
        self.adapters.close()
        self._model.close()

    def _generate(self, request: GenerationRequest, queue_s: float, interrupted: Interrupted) -> Generation:
        n_prompt = len(request.prompt)
        n_at_once = min(request.k, self._k_max, (self._context.n_cells - n_prompt) // request.max_tokens)

        # 1. Prefill the prompt, from the longest cached prefix.
        started = time.monotonic()
        if request.kept_prefix is None:
            sequence, n_cached, reason = self._prefill(
                request.prompt, n_at_once * request.max_tokens, interrupted
            )
        else:
            sequence, n_cached, reason = self._prefill_reproducibly(
                request.prompt, request.kept_prefix, interrupted
            )
        prefill_s = time.monotonic() - started
        if reason is not None:
            return _nothing(request, reason, queue_s, n_cached, prefill_s)

        # 2. Decode the candidates.
        started = time.monotonic()
        branches = range(N_PROMPTS, N_PROMPTS + self._k_max)
        decoder = TrieDecoder(
            self._context,
            self._model.vocab,
            request,
            prompt_sequence=sequence,
            sequences=branches,
            n_at_once=n_at_once,
            share_rows=self._share_rows,
        )
        candidates = decoder.run(self._context.logits(1).copy(), interrupted)
        return Generation(
            candidates,
            self.adapters.active,
            n_prompt_tokens=n_prompt,
            n_cached_tokens=n_cached,
            n_rows=decoder.n_rows,
            n_steps=decoder.n_steps,
            queue_s=queue_s,
            prefill_s=prefill_s,
            decode_s=time.monotonic() - started,
        )

    def _prefill(
        self, prompt: tuple[int, ...], n_reserved: int, interrupted: Interrupted
    ) -> tuple[int, int, Finish | None]:
        """Prefill the prompt.

        The context's logits are then those of its last token.

        Returns:
            The sequence that holds it, how many of its tokens were cached, and why it stopped early or None.
        """
        # 1. Make room, and reuse the cached prefix.
        if self._kept is not None:
            self._forget_all()
        plan = self._prefixes.plan(prompt, self._context.n_cells - n_reserved)
        self._prefixes.forget(plan.sequence)
        if plan.source is None:
            self._context.truncate(plan.sequence, plan.n_shared)
        else:
            self._context.drop(plan.sequence)
            self._context.copy(plan.source, plan.sequence, plan.n_shared)
        for evicted in plan.evicted:
            self._context.drop(evicted)

        # 2. Compute the rest; if the request is interrupted, the computed part stays for the next one.
        n_done, reason = self._compute(prompt, plan.n_shared, plan.sequence, interrupted)
        self._prefixes.store(plan.sequence, prompt[:n_done])
        return plan.sequence, plan.n_shared, reason

    def _prefill_reproducibly(
        self, prompt: tuple[int, ...], n_kept: int, interrupted: Interrupted
    ) -> tuple[int, int, Finish | None]:
        """Prefill as `_prefill`, but independently of earlier requests.

        Chunks and cells are the same for the same prompt.
        """
        prefix, n_cached = prompt[:n_kept], n_kept
        if self._kept != prefix:
            self._forget_all()
            _, reason = self._compute(prefix, 0, 0, interrupted)
            if reason is not None:
                self._forget_all()
                return 0, 0, reason
            self._kept, n_cached = prefix, 0
        self._context.drop(1)
        self._context.copy(0, 1, n_kept)
        _, reason = self._compute(prompt, n_kept, 1, interrupted)
        return 1, n_cached, reason

    def _compute(
        self, tokens: tuple[int, ...], n_done: int, sequence: int, interrupted: Interrupted
    ) -> tuple[int, Finish | None]:
        """Decode `tokens` from index n_done on.

        Returns how many are done, and why it stopped early or None.
        """
        while n_done < len(tokens):
            reason = interrupted()
            if reason is not None:
                return n_done, reason
            part = tokens[n_done : n_done + PREFILL_CHUNK]
            self._decode_run(part, n_done, sequence, all_logits=False)
            n_done += len(part)
        return n_done, None

    def _decode_run(self, tokens: tuple[int, ...], start: int, sequence: int, *, all_logits: bool) -> None:
        """Decode consecutive tokens of a sequence.

        Logits are computed for all of them, or for the last.
        """
        n = len(tokens)
        flags = [all_logits] * (n - 1) + [True]
        self._context.decode(tokens, range(start, start + n), [sequence] * n, flags)

    def _use_adapter(self, identity: str | None) -> None:
        if self.adapters.activate(identity):
            self._forget_all()  # keys computed under another adapter give other logits without any error

    def _forget_all(self) -> None:
        self._prefixes.clear()
        self._kept = None
        self._context.clear()


def _nothing(
    request: GenerationRequest, reason: Finish, queue_s: float, n_cached: int = 0, prefill_s: float = 0.0
) -> Generation:
    """Return empty candidates for a request that ended before its first token."""
    return Generation(
        (Candidate("", (), (), reason),) * request.k,
        request.adapter,
        n_prompt_tokens=len(request.prompt),
        n_cached_tokens=n_cached,
        queue_s=queue_s,
        prefill_s=prefill_s,
    )
