"""Test the kinds of parameters without a full annotation."""

from __future__ import annotations

import pytest

from sandbox.inputs.kinds import FLOAT, INT, STR, Kind
from sandbox.inputs.parameters import parameter_kind
from sandbox.inputs.target import find_target


@pytest.mark.parametrize(
    ("source", "values", "kind"),
    [
        ("def f(lst): 0", (), Kind("list", (INT,))),
        ("def f(lst): 0", (["a"],), Kind("list", (STR,))),
        ("def f(words): 0", (), Kind("list", (STR,))),
        ("def f(q='x'): 0", (), STR),
        ("def f(l: list): 0", (["a"],), Kind("list", (STR,))),
        ("def f(n): 0", (1, 2.5), FLOAT),
    ],
)
def test_the_kind_is_found_without_a_full_annotation(source, values, kind):
    assert parameter_kind(find_target(source, "f").parameters[0], values) == kind
