"""Measure decoding steps before and after torch computes in the process.

    python -P benchmarks/sampling_after_torch.py      # under a minute; needs torch (the extra `train`)

torch computes twice: in a thread that ends, as fine-tuning does, and in the main thread, whose OpenMP team stays.
The steps are llama.cpp's, with four rows of the embedded model. Run nothing else on the machine meanwhile.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from ucoder_lsp.config import load
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.types import GenerationRequest, Sampling
from ucoder_lsp.models.prepare import PreparedModel, prepare_model

STEPS = 60


def ms_per_step(prepared: PreparedModel) -> float:
    with Engine.load(
        prepared.path, n_ctx=1024, k_max=4, model_id=prepared.model_id, extra_buffers=prepared.extra_buffers
    ) as engine:
        prompt = engine.tokenize("Write a function to add two numbers.\n" * 8)
        request = GenerationRequest(prompt, 4, STEPS, Sampling(temperature=1.5, top_p=1.0, seed=1))
        engine.generate(request)  # the prompt is in the cache from here on
        answer = engine.generate(request)
        return 1000 * answer.decode_s / answer.n_steps


def compute_with_torch() -> None:
    import torch

    a, b = torch.randn(1200, 576, requires_grad=True), torch.randn(576, 1536)
    for _ in range(10):
        (a @ b).sum().backward()


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    settings, _ = load({}, {})
    prepared = prepare_model(None, settings.cache_dir)
    print(f"before torch                    {ms_per_step(prepared):6.1f} ms per step")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(compute_with_torch).result()
    print(f"after torch, in an ended thread {ms_per_step(prepared):6.1f} ms per step")
    compute_with_torch()
    print(f"after torch, in this thread     {ms_per_step(prepared):6.1f} ms per step")


if __name__ == "__main__":
    main()
