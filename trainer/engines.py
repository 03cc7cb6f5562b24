"""Copies of the model that sample side by side, one thread each.

A training run has many requests and wants throughput: two engines of one thread answer a sixth to a quarter more of
them than one engine of two (no waiting for one another at every layer, and drawing tokens is shared out too;
docs/log.md), and suffer less where something else computes. A GPU, or a model too large to hold twice, gets one engine.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from ucoder_lsp.engine.context import default_threads, offloads_to_gpu
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.models import PreparedModel

T = TypeVar("T")
R = TypeVar("R")

MEMORY_SHARE = 8
"""All copies together may fill one part in so many of the machine's memory."""


class Engines:
    """Engines of one model, to be borrowed by any thread."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._all = tuple(engines)
        self._free: queue.LifoQueue[Engine] = (
            queue.LifoQueue()
        )  # the last one's prefix is the likeliest to fit
        for engine in reversed(self._all):
            self._free.put(engine)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def first(self) -> Engine:
        """For what all have in common: vocabulary, context length, chat template."""
        return self._all[0]

    @contextmanager
    def one(self) -> Iterator[Engine]:
        """An engine for the caller alone; waits until one is free."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)

    def load_adapter(self, path: Path, identity: str) -> None:
        """Load a LoRA GGUF into all of them; raises as `Engine.load_adapter`."""
        for engine in self._all:
            engine.load_adapter(path, identity)


def in_parallel(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
    """`work(item)` of each item in order, in `at_once` threads.

    When one fails, or the caller is stopped, what has not begun never does, and what runs is not waited for: closing
    the engines ends it.
    """
    threads = ThreadPoolExecutor(at_once, "ucoder-work")
    try:
        for future in [threads.submit(work, item) for item in items]:
            yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def open_engines(model: PreparedModel, *, n_ctx: int, k_max: int, threads: int = 0) -> Iterator[Engines]:
    """As many copies as `threads` (0: one for each core) and the memory allow; closed at the end."""
    threads = threads or default_threads()
    n = copies(threads, model.path.stat().st_size, offloads_to_gpu())
    with ExitStack() as opened:
        yield Engines(
            [
                opened.enter_context(
                    Engine.load(
                        model.path, n_ctx=n_ctx, k_max=k_max, n_threads=threads // n, model_id=model.model_id,
                        extra_buffers=model.extra_buffers,
                    )
                )
                for _ in range(n)
            ]
        )  # fmt: skip


def copies(threads: int, model_bytes: int, on_gpu: bool) -> int:
    """How many engines to open."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 if on_gpu else max(1, min(threads, memory // MEMORY_SHARE // max(model_bytes, 1)))
