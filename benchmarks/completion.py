"""Measure the warm latency of the demo's requests, step by step.

    make bench                                          # under a minute
    python -P benchmarks/completion.py --rounds 20      # unknown flags are passed to the server

The requests go through the real server over stdio. Each round requests every cursor position of the demo once. The
text after the cursor changes in every round, so that the completion cache never answers. The prompt's prefix stays in
the KV cache, as it does while a developer types. The first round is a warm-up and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
from pathlib import Path

from ucoder_lsp.demo import STOPS, typed_document
from ucoder_lsp.server.client import SERVER, Editor

WORKSPACE = Path(__file__).parents[1] / "examples" / "workspace"
STEPS = ("prefill_ms", "decode_ms", "inputs_ms", "execution_ms", "consensus_ms", "total_ms")


async def measure(rounds: int, flags: list[str]) -> dict[str, list[dict[str, float]]]:
    """Return the timings of the counted requests, by title of the stop."""
    seen: dict[str, list[dict[str, float]]] = {stop.title: [] for stop in STOPS}
    decided = 0
    async with Editor(WORKSPACE, command=(*SERVER, *flags)) as editor:
        status = await editor.ready()
        print(
            f"{status['model']}, sandbox tier {status['sandboxTier']}, {os.cpu_count()} CPUs, "
            f"{platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f}"
        )
        for number in range(rounds + 1):
            for stop in STOPS:
                text, line, character = typed_document(WORKSPACE, stop)
                uri = editor.open(stop.file, text + f"\n# round {number}\n")
                await editor.inline_completion(uri, line, character)
                explanation = await editor.explain_last()
                assert explanation is not None
                assert not explanation["cached"]
                decided += number > 0 and explanation["decidedBy"] == "consensus"
                if number:
                    seen[stop.title].append(explanation["timings"])
    print(f"{decided} of {rounds * len(STOPS)} completions chosen by consensus\n")
    return seen


def table(seen: dict[str, list[dict[str, float]]]) -> str:
    """Format the median and the 95th percentile of each step, in milliseconds."""
    lines = [f"{'ms, p50 / p95':50}" + "".join(f"{step.removesuffix('_ms'):>16}" for step in STEPS)]
    everything = [timings for rows in seen.values() for timings in rows]
    for title, rows in [*seen.items(), ("all", everything)]:
        cells = []
        for step in STEPS:
            values = sorted(row[step] for row in rows)
            p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
            cells.append(f"{statistics.median(values):7.1f} / {p95:6.1f}")
        lines.append(f"{title:50}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10, help="counted rounds (default: 10)")
    arguments, flags = parser.parse_known_args()
    print(table(asyncio.run(measure(arguments.rounds, flags))))


if __name__ == "__main__":
    sys.exit(main())
