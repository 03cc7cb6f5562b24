"""Test the examples that are read from docstrings."""

from __future__ import annotations

import pytest

from sandbox.inputs.doctests import from_docstring


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("f(1) == 2", [(2, True)]),
        ("f(1) => 2\n", [(2, True)]),
        ("For example `f(1)` returns 2.", [(2, True)]),
        ("It returns 2 for f(1)", [(2, True)]),
        ("f(1) = 2", [(2, False)]),
        ("f(1) should return true, see below", [(True, True)]),
        ("f(1) -> 1 + (2 / 2) = 2", []),
        ("f(n) -> f(n-1) + f(n-2)", []),
        ("f(1) -> (1, 'a b')", [((1, "a b"), True)]),
        ('>>> f(1)\n2\nf("x") -> []', [(2, True), ([], True)]),
        (">>> f(1)\nTraceback (most recent call last):\n  ...\nValueError\n", []),
        (">>> f(1) == 2\nTrue", [(2, True)]),
    ],
)
def test_examples_are_read_from_docstrings(docstring, expected):
    found = [(e.expected, e.hard) for e in from_docstring(docstring, "f") if e.known]
    assert found == expected
