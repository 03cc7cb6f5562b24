"""Measure what early stopping changes, on recorded samples.

    python benchmarks/early_stop.py FILE      # recorded samples, as for `ucoder consensus replay`

Draws of 8 recorded solutions end in the order of their length, like samples decoded in one batch. Once more than half
of the 8 have ended with the same text, the server stops and chooses among those that have ended. That choice is
compared with the choice among all 8.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from sandbox.consensus.replay import ReplayedTask, load, replay
from sandbox.consensus.rules.joint import Joint
from sandbox.pool import Sandbox
from ucoder_lsp.completion.early_stop import Majority

K = 8
DRAWS = 50
"""Draws per task."""


def ended(task: ReplayedTask, drawn: list[int]) -> list[int]:
    """Return the drawn samples that have ended when the server stops.

    All of them where it does not stop early.
    """
    majority = Majority(K, lambda text: text)
    in_order = sorted(drawn, key=lambda i: len(task.evidence.sources[i]))
    for number, i in enumerate(in_order, 1):
        if majority.add(task.evidence.sources[i]):
            return sorted(in_order[:number], key=drawn.index)
    return drawn


def chosen(task: ReplayedTask, drawn: list[int]) -> int | None:
    """Return the recorded solution that the default rule chooses."""
    evidence, _ = task.draw(drawn)
    winner = Joint().out_of_fold(task.task.prompt).decide(evidence).winner
    return None if winner is None else drawn[winner]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recorded", type=Path, help="a file of recorded samples (replay)")
    parser.add_argument("--seed", type=int, default=0, help="seed of inputs and draws (default: 0)")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    draws = stopped = unfinished = other = better = worse = 0
    with Sandbox(lowest_tier=1) as sandbox:
        for task in replay(load(arguments.recorded), sandbox, seed=arguments.seed):
            for _ in range(DRAWS):
                drawn = generator.sample(range(len(task.correct)), K)
                early = ended(task, drawn)
                draws += 1
                if len(early) == K:
                    continue
                stopped += 1
                unfinished += K - len(early)
                soon, late = chosen(task, early), chosen(task, drawn)
                if soon == late or (
                    soon is not None and late is not None
                    and task.evidence.outcomes[soon] == task.evidence.outcomes[late]
                ):  # fmt: skip
                    continue
                other += 1
                right = [i is not None and task.correct[i] for i in (soon, late)]
                better += right[0] > right[1]
                worse += right[0] < right[1]
    print(
        f"{draws} draws of {K}: {stopped} stop early, with {unfinished / max(1, stopped):.1f} samples unfinished"
    )
    print(
        f"of those {other} choose another behaviour: {better} right instead of wrong, {worse} wrong instead of right"
    )


if __name__ == "__main__":
    main()
