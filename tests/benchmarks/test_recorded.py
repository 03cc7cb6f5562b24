"""Kept samples: an equal request is not sampled again, another one is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.recorded import RecordedEngine
from tests.support import tiny_gguf
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.types import GenerationRequest, Sampling


def test_an_equal_request_is_sampled_once(tmp_path: Path) -> None:
    with Engine.load(tiny_gguf.write_model(tmp_path / "m.gguf"), n_ctx=256, k_max=2, n_threads=1) as engine:
        request = GenerationRequest(engine.tokenize("def f(x):"), k=2, max_tokens=4)
        first = RecordedEngine(engine, tmp_path / "kept")
        sampled = first.submit(request).future.result()
        again = RecordedEngine(engine, tmp_path / "kept")
        assert again.submit(request).future.result() == sampled
        assert (first.n_sampled, again.n_sampled) == (1, 0)
        again.submit(replace(request, sampling=Sampling(temperature=0.1)))
        assert again.n_sampled == 1
