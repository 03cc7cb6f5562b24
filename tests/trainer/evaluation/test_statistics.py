"""pass@k and its intervals."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.statistics import estimate, pass_at_k, wilson


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_sample(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations(range(n), k))
    share = sum(any(index < c for index in draw) for draw in draws) / len(draws)
    assert pass_at_k(n, c, k) == pytest.approx(share)


def test_intervals_contain_the_estimate_and_stay_within_0_and_1() -> None:
    for found in (wilson(0, 10), wilson(10, 10), wilson(3, 10), estimate([0, 3, 10], 10, 5)):
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert wilson(0, 10).high == pytest.approx(0.278, abs=0.001)
