"""Measure where consensus fails: wrong candidates that share a mistake.

    python benchmarks/consensus_correlated.py [--plot docs/images/consensus-correlated.png]

100 candidates, 30 of them right, 20 inputs with 8 possible values each. A share of the wrong candidates repeats the
same mistake on a third of the inputs; the others err independently. Each share is measured three times: without
asserts, with asserts whose errors are independent of the shared mistake, and with asserts that repeat it (their author
misread the task too). 35 % of the asserts are right.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.types import Evidence
from sandbox.outcome import Outcome, Status
from sandbox.program import Vote
from sandbox.values import Value

N, RIGHT, INPUTS, VALUES, ROUNDS = 100, 30, 20, 8, 40
SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def problem(share: float, asserts: str, generator: random.Random) -> tuple[Evidence, list[bool]]:
    truth = [generator.randrange(VALUES) for _ in range(INPUTS)]
    mistake = [(v + 1) % VALUES if generator.random() < 1 / 3 else v for v in truth]
    mistake[0] = (truth[0] + 1) % VALUES
    rows, right = [], []
    for i in range(N):
        if i < RIGHT:
            row = truth
        elif generator.random() < share:
            row = mistake
        else:
            row = [generator.randrange(VALUES) if generator.random() < 1 / 3 else v for v in truth]
        rows.append(tuple(Outcome(Status.OK, Value.of(v)) for v in row))
        right.append(row == truth)
    votes = []
    if asserts != "none":
        for probe in range(INPUTS):
            wrong = mistake[probe] if asserts == "misread" else generator.randrange(VALUES)
            votes.append(Vote(probe, Value.of(truth[probe] if generator.random() < 0.35 else wrong)))
    sources = tuple(f"return {i}" for i in range(N))
    return Evidence(tuple(rows), sources, (0.0,) * N, tuple(votes)), right


def measure(share: float, asserts: str) -> tuple[float, float]:
    """Return the share of right winners, and the mean confidence."""
    generator = random.Random(1)
    hits, confidence = 0, 0.0
    for _ in range(ROUNDS):
        evidence, right = problem(share, asserts, generator)
        decision = RULES[DEFAULT_RULE].decide(evidence)
        hits += decision.winner is not None and right[decision.winner]
        confidence += decision.confidence
    return hits / ROUNDS, confidence / ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    options = parser.parse_args()
    print("share of wrong candidates with the same mistake: right winner (confidence)")
    print("asserts".ljust(14) + "".join(f"{share:>14.0%}" for share in SHARES))
    curves = {kind: [measure(share, kind) for share in SHARES] for kind in ("none", "independent", "misread")}
    for kind, points in curves.items():
        print(kind.ljust(14) + "".join(f"{hit:>7.0%} ({sure:.2f})" for hit, sure in points))
    if options.plot:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4.5))
        for kind, points in curves.items():
            (line,) = axes.plot(
                SHARES, [hit for hit, _ in points], marker="o", label=f"right, asserts: {kind}"
            )
            axes.plot(SHARES, [sure for _, sure in points], linestyle="--", color=line.get_color())
        axes.plot([], [], "k--", label="confidence")
        axes.set(xlabel="share of the wrong candidates that make one mistake", ylabel="share of problems")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        figure.tight_layout()
        figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
