"""Measure the engine's speed, and what trie and prefix cache save.

    python benchmarks/engine.py                       # the embedded model, about 2 minutes on 2 cores
    python benchmarks/engine.py --model FILE.gguf

Times are medians of `--repeat` runs over the prompts, including sampling. A row is one token of one distinct candidate;
"shared" is the share of rows that the trie saves compared with one row per candidate and token.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median

from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.engine.types import Generation, GenerationRequest, Sampling
from ucoder_lsp.models.prepare import PreparedModel, prepare_model

PROMPTS = (
    'def is_prime(n: int) -> bool:\n    """Return True if n is a prime number."""\n',
    'def word_counts(text: str) -> dict[str, int]:\n    """Count how often each word occurs in text."""\n',
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
    'import csv\n\ndef read_rows(path):\n    """Read a CSV file into a list of dictionaries."""\n',
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="a GGUF file (default: the embedded model, prepared for this CPU)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs per measurement (default: 3)")
    parser.add_argument(
        "--steps", type=int, default=32, help="new tokens: 12 for a line, 32 for a short body (default: 32)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        prepared = prepare_model(arguments.model, Path(cache))
        print(
            f"{prepared.path.name} ({prepared.kind}), {default_threads()} threads, "
            f"load average {os.getloadavg()[0]:.1f}\n"
        )
        compare_trie(prepared, arguments.repeat, arguments.steps)
        measure_prefixes(prepared, arguments.repeat)


def compare_trie(prepared: PreparedModel, repeat: int, steps: int) -> None:
    """Decode K candidates with and without shared rows, at two temperatures."""
    print("| K | temperature | rows, no trie | rows, trie | shared | ms, no trie | ms, trie |")
    print("|---|---|---|---|---|---|---|")
    with load(prepared, share_rows=True) as shared, load(prepared, share_rows=False) as alone:
        for temperature in (0.8, 0.2):
            for k in (1, 4, 8, 16):
                rows, times = {}, {}
                for name, engine in (("trie", shared), ("alone", alone)):
                    answers = [
                        engine.generate(request(engine, prompt, k, steps, temperature, seed))
                        for prompt in PROMPTS
                        for seed in range(repeat)
                    ]
                    rows[name] = sum(a.n_rows for a in answers)
                    times[name] = 1000 * median(a.decode_s for a in answers)
                saved = 1 - rows["trie"] / rows["alone"]
                print(
                    f"| {k} | {temperature} | {rows['alone']} | {rows['trie']} | {saved:.0%} "
                    f"| {times['alone']:,.0f} | {times['trie']:,.0f} |",
                    flush=True,
                )


def measure_prefixes(prepared: PreparedModel, repeat: int) -> None:
    """Measure the prefill of a file of about 1,000 tokens.

    Three requests: the first, one with one more token, and one after a request for another file.
    """
    fresh, typed, returned = [], [], []
    with load(prepared, share_rows=True) as engine:
        for i in range(repeat):
            file = engine.tokenize("".join(f"def f{j}(x):\n    return x * {i} + {j}\n\n" for j in range(60)))[
                :1000
            ]
            other = engine.tokenize("".join(f"value_{j} = {i} - {j}\n" for j in range(90)))[:600]
            one = GenerationRequest(file, 1, 1)
            fresh.append(engine.generate(one))
            typed.append(engine.generate(replace(one, prompt=(*file, *other[:1]))))
            engine.generate(replace(one, prompt=other))
            returned.append(engine.generate(one))
    print("\n| request | prompt tokens | of them cached | prefill ms | computed tokens/s |")
    print("|---|---|---|---|---|")
    for name, answers in (("first", fresh), ("one token typed", typed), ("back from another file", returned)):
        print_prefill(name, answers)


def print_prefill(name: str, answers: Iterable[Generation]) -> None:
    answers = list(answers)
    seconds = median(a.prefill_s for a in answers)
    n_prompt, n_cached = answers[0].n_prompt_tokens, answers[0].n_cached_tokens
    print(
        f"| {name} | {n_prompt} | {n_cached} | {1000 * seconds:.0f} | {(n_prompt - n_cached) / seconds:,.0f} |"
    )


def load(prepared: PreparedModel, share_rows: bool) -> Engine:
    return Engine.load(
        prepared.path,
        n_ctx=2048,
        k_max=16,
        model_id=prepared.model_id,
        extra_buffers=prepared.extra_buffers,
        share_rows=share_rows,
    )


def request(
    engine: Engine, prompt: str, k: int, steps: int, temperature: float, seed: int
) -> GenerationRequest:
    return GenerationRequest(engine.tokenize(prompt), k, steps, Sampling(temperature, 0.95, seed=seed))


if __name__ == "__main__":
    main()
