"""What a training run samples with: on a GPU one engine for many requests at once, elsewhere copies side by side.

A training run has many requests and wants throughput. Two engines of one thread answer a sixth to a quarter more of
them than one engine of two (no waiting for one another at every layer, and drawing tokens is shared out too;
docs/log.md), and suffer less where something else computes. A model too large to hold twice gets one engine. A GPU
computes hundreds of texts in the time of one (`trainer.sampling.batching`).
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from trainer.sampling.batching import BatchedEngine
from ucoder_lsp.engine.context import default_threads, offloads_to_gpu
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.models.prepare import PreparedModel

T = TypeVar("T")
R = TypeVar("R")

MEMORY_SHARE = 8
"""All copies together may fill one part in so many of the machine's memory."""
REQUESTS = 256
"""At once on a GPU."""


class Engines:
    """Engines of one model, to be borrowed by any thread. One that takes many requests stands there as many times."""

    def __init__(self, engines: Sequence[Engine | BatchedEngine]) -> None:
        self._all = tuple(engines)
        self._free: queue.LifoQueue[Engine | BatchedEngine] = (
            queue.LifoQueue()
        )  # the last one's prefix is the likeliest to fit
        for engine in reversed(self._all):
            self._free.put(engine)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def first(self) -> Engine | BatchedEngine:
        """For what all have in common: vocabulary, context length, chat template."""
        return self._all[0]

    @contextmanager
    def one(self) -> Iterator[Engine | BatchedEngine]:
        """An engine for the caller alone; waits until one is free."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)

    def load_adapter(self, gguf: Path, identity: str, peft: Path | None = None) -> None:
        """Load an adapter into all of them; raises as `Engine.load_adapter`.

        `peft` is the folder that it was exported from: on a GPU that one is computed with.
        """
        for engine in dict.fromkeys(self._all):
            if isinstance(engine, BatchedEngine):
                assert peft is not None, "only a training run samples on a GPU, and it has the folder"
                engine.load_adapter(peft, identity)
            else:
                engine.load_adapter(gguf, identity)


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
def open_on_gpu(model: PreparedModel, folder: Path, *, n_ctx: int) -> Iterator[Engines]:
    """The base of `folder`, which `model` is served as, on the GPU of this machine (`has_gpu`)."""
    served = Engine.load(
        model.path, n_ctx=n_ctx, k_max=1, n_gpu_layers=0, model_id=model.model_id,
        extra_buffers=model.extra_buffers,
    )  # fmt: skip
    with served, closing(BatchedEngine(served, folder)) as batched:
        yield Engines([batched] * REQUESTS)


def has_gpu() -> bool:
    """Whether torch computes on a GPU here."""
    import torch

    return torch.cuda.is_available()


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
