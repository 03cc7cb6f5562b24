"""Test the examples that are read from generated asserts."""

from __future__ import annotations

import pytest

from sandbox.inputs.asserts import from_asserts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("assert f(1) == 2", [(1,), 2]),
        ("assert f([1,\n 2]) == (3), 'message'\nimport os", [([1, 2],), 3]),
        ("assert 2 == f(1)", [(1,), 2]),
        ("assert not f('')", [("",), False]),
        ("assert f(1) is None", [(1,), None]),
        ("assert abs(f(1) - 0.5) < 1e-6", [(1,), 0.5]),
        ("assert math.isclose(f(2), 1.5)", [(2,), 1.5]),
        ("assert f(-1, 2**3) == {1, 2}", [(-1, 8), {1, 2}]),
    ],
)
def test_examples_are_read_from_asserts(text, expected):
    (example,) = from_asserts("assert \nassert \n" + text + "\nassert f(", "f")
    assert [example.probe.args, example.expected] == expected
    assert not example.hard


@pytest.mark.parametrize(
    "text",
    ["assert g(1) == 2", "assert f(x) == 1", "assert f(open('x')) == 1", "assert len(f(1)) == 2", "assert"],
)
def test_asserts_about_something_else_are_left_out(text):
    assert from_asserts(text, "f") == []
