"""Measure the quality and speed of requantizations of a model, by default the embedded one.

    python benchmarks/requantize.py                    # about 4 minutes on 2 cores
    python benchmarks/requantize.py --tokens 4000      # a quick look
    python benchmarks/requantize.py --model qwen2.5-coder-0.5b

Quality is measured on Python source text: standard library files of this interpreter, in windows of 512 tokens. The
figures are the perplexity, the share of positions with the shipped file's most probable token, and the
Kullback-Leibler divergence from its distribution. The shipped file is itself quantized. So a divergence of 0
means "no worse than the shipped file", not "as good as the original weights".

Speed is that of the prefill of 1,024 tokens and of 32 decode steps of K rows, without sampling.
"""

from __future__ import annotations

import argparse
import math
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ucoder_lsp.config import load
from ucoder_lsp.engine.context import Context, LoadedModel, Logits
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.models.prepare import prepare_model
from ucoder_lsp.models.served import find_model
from ucoder_lsp.models.trial import VARIANTS

WINDOW = 512
ROWS = (1, 4, 8, 16)


@dataclass
class Quality:
    """Sums over scored tokens."""

    n: int = 0
    nll: float = 0.0
    agree: int = 0
    kl: float = 0.0
    window_nll: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=int, default=20_000, help="tokens of text to score (default: 20,000)"
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=["as-is", *VARIANTS],
        help=f"kinds of quantization; as-is must come first (default: as-is {' '.join(VARIANTS)})",
    )
    parser.add_argument(
        "--model",
        default="embedded",
        help="a name of `ucoder models list`, or a GGUF file (default: embedded)",
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs whose median is the speed (default: 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        source = find_model(arguments.model, load()[0]).path
        paths = {kind: prepare_model(source, Path(cache), quantization=kind).path for kind in arguments.kinds}
        print("| file | MiB | perplexity | same top token | KL from as-is, nats |")
        print("|---|---|---|---|---|")
        for kind, quality in measure_quality(paths, arguments.tokens).items():
            megabytes = paths[kind].stat().st_size / 2**20
            print(
                f"| {kind} | {megabytes:.0f} | {math.exp(quality.nll / quality.n):.3f} "
                f"| {quality.agree / quality.n:.1%} | {quality.kl / quality.n:.4f} |",
                flush=True,
            )
        print(f"\n{arguments.tokens} tokens of standard library source, {default_threads()} threads\n")
        print(f"| file | prefill tokens/s | 32 steps, K = {' / '.join(map(str, ROWS))}, ms |")
        print("|---|---|---|")
        for kind in arguments.kinds:
            prefill, steps = measure_speed(paths[kind], arguments.repeat)
            print(
                f"| {kind} | {prefill:,.0f} | {' / '.join(f'{1000 * s:,.0f}' for s in steps)} |", flush=True
            )


def measure_quality(paths: dict[str, Path], n_tokens: int) -> dict[str, Quality]:
    """Score the same windows with every file."""
    engines = {kind: Engine.load(path, n_ctx=WINDOW, k_max=1) for kind, path in paths.items()}
    qualities = {kind: Quality() for kind in paths}
    for window in text_windows(engines["as-is"], n_tokens):
        targets = np.array(window[1:])
        reference = log_softmax(engines["as-is"].logits(window[:-1]))
        for kind, engine in engines.items():
            logs = reference if kind == "as-is" else log_softmax(engine.logits(window[:-1]))
            quality = qualities[kind]
            quality.n += len(targets)
            quality.nll -= float(logs[np.arange(len(targets)), targets].sum())
            quality.agree += int((logs.argmax(axis=1) == reference.argmax(axis=1)).sum())
            quality.kl += float((np.exp(reference) * (reference - logs)).sum())
    for engine in engines.values():
        engine.close()
    return qualities


def text_windows(engine: Engine, n_tokens: int) -> list[tuple[int, ...]]:
    """Cut windows of tokens from the middle of standard library modules.

    They are the same in every run.
    """
    windows = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        tokens = engine.tokenize(path.read_text("utf-8", errors="replace"))
        if len(tokens) >= 2 * WINDOW:
            middle = len(tokens) // 2
            windows.append(tokens[middle : middle + WINDOW])
    step = max(1, len(windows) * WINDOW // n_tokens)
    return windows[::step][: n_tokens // WINDOW]


def log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def measure_speed(path: Path, repeat: int) -> tuple[float, list[float]]:
    """Return prefill tokens per second, and seconds of 32 steps per K."""
    model = LoadedModel(path)
    context = Context(model, n_cells=2048, n_seq=17, n_rows=16, n_batch=512, n_threads=default_threads())
    tokens = np.random.default_rng(0).integers(100, model.vocab.n_tokens, 1024).tolist()
    prefill, steps = [], {k: [] for k in ROWS}
    for _ in range(repeat):
        context.clear()
        started = time.perf_counter()
        for i in range(0, 1024, 512):
            context.decode(tokens[i : i + 512], range(i, i + 512), [0] * 512, [False] * 511 + [True])
        context.logits(1)
        prefill.append(time.perf_counter() - started)
        # Steps after a prompt of 256 tokens, as a completion has.
        context.truncate(0, 256)
        for k in ROWS:
            for sequence in range(1, k + 1):
                context.copy(0, sequence)
            started = time.perf_counter()
            for step in range(32):
                row = tokens[step * 16 : step * 16 + k]
                context.decode(row, [256 + step] * k, range(1, k + 1), [True] * k)
                context.logits(k)
            steps[k].append(time.perf_counter() - started)
            for sequence in range(1, k + 1):
                context.drop(sequence)
    context.close()
    model.close()
    return 1024 / float(np.median(prefill)), [float(np.median(steps[k])) for k in ROWS]


if __name__ == "__main__":
    main()
