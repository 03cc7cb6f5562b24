"""Rows of about one length form a batch, each row once per epoch, and no two epochs have the same order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trainer.tuning.length_grouping import POOL, LengthGroupedSampler, length_grouped_order


@given(st.lists(st.integers(1, 400), max_size=300), st.integers(1, 9), st.integers())
def test_every_row_comes_once_and_only_the_last_batch_is_incomplete(
    lengths: list[int], batch: int, seed: int
) -> None:
    order = length_grouped_order(lengths, batch, Random(seed))
    assert sorted(order) == list(range(len(lengths)))
    assert order == length_grouped_order(lengths, batch, Random(seed))
    # Full batches are cut from sorted rows.
    batches = [order[i : i + batch] for i in range(0, len(order) - len(order) % batch, batch)]
    for rows in batches:
        found = [lengths[row] for row in rows]
        assert found == sorted(found)


def padding_share(lengths: list[int], order: list[int], batch: int) -> float:
    """Padding tokens per token of the data."""
    widths = [[lengths[row] for row in order[i : i + batch]] for i in range(0, len(order), batch)]
    return sum(len(w) * max(w) for w in widths) / sum(lengths) - 1


def test_grouped_batches_need_a_quarter_of_the_padding() -> None:
    random = Random(0)
    lengths = [min(373, max(40, round(random.lognormvariate(4.9, 0.35)))) for _ in range(1_063)]
    at_random = random.sample(range(len(lengths)), len(lengths))
    assert (
        padding_share(lengths, length_grouped_order(lengths, 8, random), 8)
        < padding_share(lengths, at_random, 8) / 4
    )


def test_batches_are_shuffled_across_lengths() -> None:
    lengths = list(range(8 * POOL * 4))
    order = length_grouped_order(lengths, 8, Random(0))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    assert abs(sum(first) - sum(second)) < sum(order) / 8
    assert sorted(order[: 8 * POOL]) != order[: 8 * POOL]


def test_each_epoch_has_its_own_reproducible_order() -> None:
    sampler = LengthGroupedSampler(list(range(100)), 4, seed=3)
    assert len(sampler) == 100
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first != second == list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(LengthGroupedSampler(list(range(100)), 4, seed=4)) != first
