"""Values that count as the same in a benchmark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.oracles import same


def test_only_floats_are_compared_with_a_tolerance() -> None:
    assert same([1.0, 2], [1.0000001, 2], 1e-6)
    assert not same([1.0, 2], (1.0, 2), 1e-6)
    assert not same("1", 1, 1e-6)
    assert same(float("nan"), float("nan"), 1e-6)
    assert not same(1.0, float("nan"), 1e-6)


NUMBERS = st.one_of(
    st.integers(), st.integers(-9, 9).map(lambda n: n * 10**400), st.floats(), st.complex_numbers()
)
ANSWERS = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=3), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.text(max_size=2), inner)
    ),
    max_leaves=6,
)


@given(ANSWERS, ANSWERS)
def test_any_two_values_can_be_compared(expected: object, got: object) -> None:
    assert same(expected, expected, 1e-6)
    assert isinstance(same(expected, got, 1e-6), bool)


@pytest.mark.parametrize("got", [10**400, complex(1.7e308, 1.7e308)], ids=["integer", "complex"])
def test_values_beyond_all_floats_are_not_close_to_one(got: complex) -> None:
    assert not same(1.0, got, 1e-6)
