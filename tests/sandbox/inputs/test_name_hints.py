"""Test the kinds that are guessed from names and docstrings."""

from __future__ import annotations

import pytest

from sandbox.inputs.kinds import BOOL, FLOAT, INT, STR, Kind
from sandbox.inputs.name_hints import kind_of_name


@pytest.mark.parametrize(
    ("name", "docstring", "kind"),
    [
        ("is_open", "", BOOL),
        ("Grid", "", Kind("list", (Kind("list", (INT,)),))),
        ("words", "", Kind("list", (STR,))),
        ("pairs", "", Kind("list", (Kind("tuple", (INT, INT)),))),
        ("nums", "a string", Kind("list", (INT,))),
        ("price_map", "", Kind("dict", (STR, INT))),
        ("text", "", STR),
        ("ratio", "", FLOAT),
        ("n", "", INT),
        ("thing", "Sort a list of strings.", Kind("list", (STR,))),
        ("thing", "Return the longest word.", STR),
        ("thing", "", INT),
    ],
)
def test_the_name_comes_before_the_docstring(name: str, docstring: str, kind: Kind) -> None:
    assert kind_of_name(name, docstring) == kind
