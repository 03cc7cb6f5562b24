"""Which rows a fine-tuning step takes together: rows of about one length, so that little is filled up.

A batch is as wide as its longest row. In random order two tokens of seven were filling (docs/log.md).
Batches follow one another at random, so that no epoch ends with its shortest rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

POOL = 10
"""Batches whose rows are sorted among each other: more would save little and make the same batch every epoch."""


def alike_batches(lengths: Sequence[int], batch: int, random: Random) -> list[int]:
    """Every row's index once: whole batches of rows alike in length, in random order, then what is left of one."""
    order = random.sample(range(len(lengths)), len(lengths))
    pools = (sorted(rows, key=lengths.__getitem__) for rows in _cut(order, POOL * batch))
    batches = [rows for pool in pools for rows in _cut(pool, batch)]
    rest = batches.pop() if batches and len(batches[-1]) < batch else []
    random.shuffle(batches)
    return [row for rows in (*batches, rest) for row in rows]


class AlikeLengths:
    """A sampler for torch: another order in each epoch, the same one in a run that goes on from its checkpoint."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed = lengths, batch, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(alike_batches(self.lengths, self.batch, Random(f"{self.seed} {self.epoch}")))  # noqa: S311


def _cut(rows: Sequence[int], n: int) -> Iterator[Sequence[int]]:
    return (rows[start : start + n] for start in range(0, len(rows), n))
