"""Rows of one length are taken together, each once an epoch, and no two epochs alike."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trainer.tuning.length_grouping import POOL, AlikeLengths, alike_batches


@given(st.lists(st.integers(1, 400), max_size=300), st.integers(1, 9), st.integers())
def test_every_row_is_taken_once_and_only_the_last_batch_is_short(
    lengths: list[int], batch: int, seed: int
) -> None:
    order = alike_batches(lengths, batch, Random(seed))
    assert sorted(order) == list(range(len(lengths)))
    assert order == alike_batches(lengths, batch, Random(seed))
    # Whole batches are cut from rows that were sorted.
    batches = [order[i : i + batch] for i in range(0, len(order) - len(order) % batch, batch)]
    for rows in batches:
        found = [lengths[row] for row in rows]
        assert found == sorted(found)


def filling(lengths: list[int], order: list[int], batch: int) -> float:
    """Tokens that only make rows as long as the longest of their batch, for each token of the data."""
    widths = [[lengths[row] for row in order[i : i + batch]] for i in range(0, len(order), batch)]
    return sum(len(w) * max(w) for w in widths) / sum(lengths) - 1


def test_little_is_filled_up() -> None:
    random = Random(0)
    lengths = [min(373, max(40, round(random.lognormvariate(4.9, 0.35)))) for _ in range(1_063)]
    at_random = random.sample(range(len(lengths)), len(lengths))
    assert filling(lengths, alike_batches(lengths, 8, random), 8) < filling(lengths, at_random, 8) / 4


def test_batches_do_not_go_from_long_to_short() -> None:
    lengths = list(range(8 * POOL * 4))
    order = alike_batches(lengths, 8, Random(0))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    assert abs(sum(first) - sum(second)) < sum(order) / 8
    assert sorted(order[: 8 * POOL]) != order[: 8 * POOL]


def test_each_epoch_has_an_order_of_its_own_and_keeps_it() -> None:
    sampler = AlikeLengths(list(range(100)), 4, seed=3)
    assert len(sampler) == 100
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first != second == list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(AlikeLengths(list(range(100)), 4, seed=4)) != first
