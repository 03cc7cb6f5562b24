"""The order of training rows.

Rows of about one length form a batch, so that little padding is needed.

A batch is as wide as its longest row. In random order two tokens of seven were padding (`docs/decisions.md`, "Batches
of rows of about one length"). The batches are shuffled, so that no epoch ends with its shortest rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

POOL = 10
"""Batches whose rows are sorted together. More would save little and repeat the same batches in every epoch."""


def length_grouped_order(lengths: Sequence[int], batch: int, random: Random) -> list[int]:
    """Return every row's index once: shuffled batches, then an incomplete one.

    The rows of a full batch are about equally long. `lengths` are in tokens, `batch` is the size of a batch in rows.
    """
    order = random.sample(range(len(lengths)), len(lengths))
    pools = (sorted(rows, key=lengths.__getitem__) for rows in _cut(order, POOL * batch))
    batches = [rows for pool in pools for rows in _cut(pool, batch)]
    incomplete = batches.pop() if batches and len(batches[-1]) < batch else []
    random.shuffle(batches)
    return [row for rows in (*batches, incomplete) for row in rows]


class LengthGroupedSampler:
    """Samples rows for torch in a new order per epoch, reproducible when resumed."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed = lengths, batch, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch; the trainer calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = Random(f"{self.seed} {self.epoch}")  # noqa: S311
        return iter(length_grouped_order(self.lengths, self.batch, random))


def _cut(rows: Sequence[int], n: int) -> Iterator[Sequence[int]]:
    return (rows[start : start + n] for start in range(0, len(rows), n))
