"""Test the kinds that are read from annotations."""

from __future__ import annotations

import pytest

from sandbox.inputs.kinds import BOOL, FLOAT, INT, STR, Kind, of_annotation
from sandbox.inputs.target import parse_quietly


def annotation(text):
    tree = parse_quietly(text)
    return of_annotation(tree.body[0].value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("int", INT),
        ("typing.List[float]", Kind("list", (FLOAT,))),
        ("list[tuple[int, str]]", Kind("list", (Kind("tuple", (INT, STR)),))),
        ("Optional[str]", Kind("union", (STR, Kind("none")))),
        ("int | None", Kind("union", (INT, Kind("none")))),
        ("dict[str, list[int]]", Kind("dict", (STR, Kind("list", (INT,))))),
        ("'list[bool]'", Kind("list", (BOOL,))),
        ("Literal['a', 'b']", Kind("choice", choices=("a", "b"))),
        ("Widget", None),
        ("Callable[[int], int]", None),
    ],
)
def test_kinds_are_read_from_annotations(text, kind):
    assert annotation(text) == kind
