"""The engines that a training run samples with.

This is a batched engine on a GPU, and several copies on a CPU.

A training run has many requests and wants throughput. Two engines of one thread answer a sixth to a quarter more
requests than one engine of two threads: they do not wait at every layer, and drawing tokens is shared out
(`docs/decisions.md`, "One engine per core on a CPU"). They also lose less where other processes compute. A model too
large to hold twice gets one engine. A GPU computes hundreds of texts in the time of one (`trainer.sampling.batching`).
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from trainer.hardware import engine_copies
from trainer.sampling.batching import BatchedEngine
from ucoder_lsp.engine.context import offloads_to_gpu
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.models.prepare import PreparedModel

T = TypeVar("T")
R = TypeVar("R")

GPU_REQUESTS = 256
"""Requests at the same time on a GPU."""


class Engines:
    """Lends the engines of one model to threads.

    A batched engine is listed once per concurrent request.
    """

    def __init__(self, engines: Sequence[Engine | BatchedEngine]) -> None:
        self._all = tuple(engines)
        # Last in, first out: the engine returned last most likely holds a prefix that fits.
        self._free: queue.LifoQueue[Engine | BatchedEngine] = queue.LifoQueue()
        for engine in reversed(self._all):
            self._free.put(engine)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def first(self) -> Engine | BatchedEngine:
        """The engine to read common properties from: vocabulary, context length, chat template."""
        return self._all[0]

    @contextmanager
    def one(self) -> Iterator[Engine | BatchedEngine]:
        """Borrow an engine for the caller alone; waits until one is free."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)

    def load_adapter(self, gguf: Path, identity: str, peft: Path | None = None) -> None:
        """Load an adapter into all engines; raises as `Engine.load_adapter`.

        `peft` is the folder that `gguf` was exported from. A batched engine computes with it.
        """
        for engine in dict.fromkeys(self._all):
            if isinstance(engine, BatchedEngine):
                assert peft is not None, "only a training run samples on a GPU, and it has the folder"
                engine.load_adapter(peft, identity)
            else:
                engine.load_adapter(gguf, identity)


def in_parallel(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
    """Yield `work(item)` of each item in order, computed in `at_once` threads.

    When one fails, or the caller is stopped, work that has not begun is cancelled. Running work is not waited for:
    closing the engines ends it.
    """
    threads = ThreadPoolExecutor(at_once, "ucoder-work")
    try:
        for future in [threads.submit(work, item) for item in items]:
            yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def open_on_gpu(model: PreparedModel, folder: Path, *, n_ctx: int) -> Iterator[Engines]:
    """Open a batched engine on this machine's GPU (`trainer.hardware.has_gpu`).

    It is closed at the end.

    `folder` is the Hugging Face form of the base and `model` its served form, whose vocabulary is used.
    """
    served = Engine.load(
        model.path, n_ctx=n_ctx, k_max=1, n_gpu_layers=0, model_id=model.model_id,
        extra_buffers=model.extra_buffers,
    )  # fmt: skip
    with served, closing(BatchedEngine(served, folder)) as batched:
        yield Engines([batched] * GPU_REQUESTS)


@contextmanager
def open_engines(model: PreparedModel, *, n_ctx: int, k_max: int, threads: int = 0) -> Iterator[Engines]:
    """Open as many copies as `threads` and the memory allow.

    `threads` 0 means one per core. The copies are closed at the end.
    """
    threads = threads or default_threads()
    n = engine_copies(threads, model.path.stat().st_size, on_gpu=offloads_to_gpu())
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
