"""Test brackets in text that need not parse."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.inputs.brackets import (
    CLOSING,
    OPENING,
    Strings,
    after_closing,
    bracket_depths,
    first_unopened,
    n_open,
)

TEXT = st.text(alphabet="()[]{}'\"\\ab\n ", max_size=40)
CODE = st.recursive(
    st.sampled_from(["a", "'('", '")"', "'it\\'s ('", "b, c", ""]),
    lambda inner: (
        st.builds("{}({}){}".format, inner, inner, inner)
        | st.builds("[{}]".format, inner)
        | st.builds("{{{}}}".format, inner)
    ),
)
"""Balanced code; strings hold brackets and escaped quotes."""


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("(1) -> 2", 3),
        ("(a[0], {1: (2,)}) rest", 17),
        ("('(', \")\")", 10),
        (r"('it\'s (')", 11),
        ("(1", None),
        ("('", None),
    ],
)
def test_the_closing_bracket_is_found(text: str, end: int | None) -> None:
    assert after_closing(text, 0, 100) == end


@given(CODE, TEXT)
def test_a_balanced_expression_ends_at_its_own_bracket(inside: str, after: str) -> None:
    code = f"({inside})"
    assert after_closing(code + after, 0, len(code)) == len(code)
    assert after_closing("'" + code + after, 1, len(code)) == len(code) + 1
    assert after_closing(code + after, 0, len(code) - 1) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [("f(", 1), ("f(a[0], {", 2), ("f(')'", 1), ("a)", -1), (r"f('\'(", 2), ("", 0)],
)
def test_open_brackets_are_counted(text: str, count: int) -> None:
    assert n_open(text) == count


@pytest.mark.parametrize(
    ("text", "position"), [("a)", 1), ("f(a))", 4), ("(]", None), (")'(", 0), ("f(')')", 5), ("f(a)", None)]
)
def test_the_first_bracket_that_closes_nothing_is_found(text: str, position: int | None) -> None:
    assert first_unopened(text) == position


@given(TEXT, TEXT)
@example("(", "'")
def test_without_strings_depths_add_up(left: str, right: str) -> None:
    ignored = Strings.IGNORED
    first = [depth for _, depth in bracket_depths(left, strings=ignored)]
    both = [depth for _, depth in bracket_depths(left + right, strings=ignored)]
    alone = [depth for _, depth in bracket_depths(left + right, len(left), strings=ignored)]
    base = first[-1] if first else 0
    assert both == first + [base + depth for depth in alone]


@given(TEXT, st.sampled_from(Strings))
def test_depth_changes_by_one_at_brackets_only(text: str, strings: Strings) -> None:
    before = 0
    for position, depth in bracket_depths(text, strings=strings):
        assert text[position] in (OPENING if depth > before else CLOSING)
        assert abs(depth - before) == 1
        before = depth
    if "'" not in text and '"' not in text:
        assert before == sum(text.count(c) for c in OPENING) - sum(text.count(c) for c in CLOSING)


@given(TEXT)
def test_no_bracket_before_the_first_unopened_one_is_unopened(text: str) -> None:
    at = first_unopened(text)
    assert first_unopened(text[:at]) is None
    if at is not None:
        assert text[at] in CLOSING
