"""Measure the time of one consensus decision, by candidates x inputs.

    python benchmarks/consensus.py [--plot docs/images/consensus-speed.png]

Required: 128 x 100 within 10 ms and 8 x 16 within 1 ms for the default rule, growth linear in the product.
The figure is the processor time of this process: wall time on a free core, without the effect of other processes.
Candidates fall into a few clusters, as real ones do; every fourth probe has asserts.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.types import Evidence
from sandbox.outcome import Outcome, Status
from sandbox.program import Vote
from sandbox.values import Value

SIZES = ((8, 16), (16, 32), (32, 50), (64, 50), (64, 100), (128, 100), (128, 200), (256, 200), (512, 200))


def evidence(n: int, m: int) -> Evidence:
    generator = random.Random(n * 1000 + m)
    behaviours = [generator.randrange(max(2, n // 4)) for _ in range(n)]
    values = [[Value.of([b % (probe + 2), "x"]) for probe in range(m)] for b in range(max(2, n // 4))]
    crash = Outcome(Status.EXCEPTION, exception="ValueError")
    rows = tuple(
        tuple(crash if generator.random() < 0.05 else Outcome(Status.OK, values[b][p]) for p in range(m))
        for b in behaviours
    )
    votes = tuple(
        Vote(p, values[generator.randrange(len(values))][p]) for p in range(0, m, 4) for _ in range(3)
    )
    sources = tuple(f"def f(x):\n    y = {i % max(2, n // 2)}\n    return [y, 'x']\n" * 4 for i in range(n))
    return Evidence(rows, sources, tuple(-0.1 for _ in range(n)), votes)


def median_time_s(rule: str, given: Evidence, repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        RULES[rule].decide(given)
        times.append(time.process_time() - started)
    return sorted(times)[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    options = parser.parse_args()
    rules = [DEFAULT_RULE, *(name for name in RULES if name != DEFAULT_RULE)]
    medians: dict[str, list[float]] = {rule: [] for rule in rules}
    print("median CPU ms".ljust(18) + "".join(f"{n}x{m}".rjust(10) for n, m in SIZES))
    for rule in rules:
        for n, m in SIZES:
            medians[rule].append(1000 * median_time_s(rule, evidence(n, m)))
        print(rule.ljust(18) + "".join(f"{value:10.2f}" for value in medians[rule]))
    if options.plot:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        cells = [n * m for n, m in SIZES]
        figure, axes = pyplot.subplots(figsize=(7, 4.5))
        for rule in rules:
            axes.plot(
                cells, medians[rule], marker="o", linewidth=3 if rule == DEFAULT_RULE else 1, label=rule
            )
        axes.plot(cells, [medians[DEFAULT_RULE][-1] * c / cells[-1] for c in cells], "k--", label="linear")
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="candidates x inputs",
            ylabel="CPU ms for one decision (median)",
        )
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
        figure.tight_layout()
        figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
