"""Probe inputs: read from text that need not parse, deterministic, plain data, never an exception."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.inputs import propose
from sandbox.inputs.examples import NotALiteral, from_asserts, from_docstring, parse_literal
from sandbox.inputs.kinds import BOOL, FLOAT, INT, STR, Kind, of_annotation, of_parameter
from sandbox.inputs.refine import choose, disagreement, refine
from sandbox.inputs.target import find_target, parse_quietly
from sandbox.program import Call, Expression, Sequence
from sandbox.values import Value

CLOSE = textwrap.dedent(
    '''
    from typing import List

    def has_close(numbers: List[float], threshold: float = 0.5) -> bool:
        """Are any two numbers closer to each other than the threshold?

        >>> has_close([1.0, 2.0, 3.0], 0.5)
        False
        >>> sorted([has_close([1.0], 1.0)])
        [False]
        has_close([1.0, 2.8, 3.0], 0.3) -> True
        """
    '''
)


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
def test_annotations(text, kind):
    assert annotation(text) == kind


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
def test_kind_without_a_full_annotation(source, values, kind):
    assert of_parameter(find_target(source, "f").parameters[0], values) == kind


def test_docstring_examples_are_constraints():
    proposed = propose(CLOSE, "has_close", budget=12)
    assert proposed.probes[0] == Call("has_close", ([1.0, 2.0, 3.0], 0.5))
    assert proposed.probes[1] == Expression("sorted([has_close([1.0], 1.0)])")
    assert [(vote.probe, vote.expected) for vote in proposed.constraints] == [
        (0, Value.of(False)),
        (1, Value.of([False])),
        (2, Value.of(True)),
    ]
    assert len(proposed.probes) == 12
    assert len(set(map(repr, proposed.probes))) == 12
    assert {"edge", "mutation", "type"} <= set(proposed.origins)


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
def test_examples_in_docstrings(docstring, expected):
    found = [(e.expected, e.hard) for e in from_docstring(docstring, "f") if e.known]
    assert found == expected


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
def test_asserts(text, expected):
    (example,) = from_asserts("assert \nassert \n" + text + "\nassert f(", "f")
    assert [example.probe.args, example.expected] == expected
    assert not example.hard


@pytest.mark.parametrize(
    "text",
    ["assert g(1) == 2", "assert f(x) == 1", "assert f(open('x')) == 1", "assert len(f(1)) == 2", "assert"],
)
def test_asserts_about_something_else_are_left_out(text):
    assert from_asserts(text, "f") == []


@pytest.mark.parametrize(
    "text", ["[0] * 10**9", "9**9**9", "'a' * 10**9", "__import__('os')", "x", "1j", "{[]: 1}", "1/0"]
)
def test_what_is_not_plain_data_is_refused(text):
    with pytest.raises(NotALiteral):
        parse_literal(text)


def test_repeated_asserts_are_repeated_votes():
    proposed = propose(CLOSE, "has_close", tests=["assert has_close([2.0], 1.0) == False\n" * 3])
    assert len(proposed.asserts) == 3
    assert len({vote.probe for vote in proposed.asserts}) == 1


def test_method_probes_build_the_object_first():
    source = textwrap.dedent(
        """
        class Box:
            def __init__(self, items: list[int], *, cap: int): ...
            def add(self, x: int):
        """
    )
    proposed = propose(source, "Box.add", budget=6)
    assert len(proposed.probes) == 6
    for probe in proposed.probes:
        assert isinstance(probe, Sequence)
        assert probe.construct.function == "Box"
        assert isinstance(probe.construct.args[0], list)
        assert set(probe.construct.kwargs) == {"cap"}
        assert probe.steps[0].function == "add"


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: int, b: str = 'x') -> int:\n",
        "x = (\ndef f(a: int,\n      b: str = 'x') -> int:\n    '''Doc: not closed",
        "class A:\n  def f(self, z): pass\n\ndef f(a: int, b: str = 'x') -> int:\n    return (",
        "    def f(a: int, b: str = 'x'):\n        '''Doc.'''\n        if",
    ],
)
def test_signature_is_found_in_text_that_does_not_parse(source):
    target = find_target(source, "f")
    assert [parameter.name for parameter in target.parameters] == ["a", "b"]
    assert propose(source, "f").probes


@pytest.mark.parametrize("source", ["", "def g(): 0", "def f(", "\x00", "def f(" + "(" * 5000])
def test_no_signature_means_no_probes(source):
    assert propose(source, "f").probes == ()


def test_same_seed_same_probes():
    assert propose(CLOSE, "has_close", seed=3) == propose(CLOSE, "has_close", seed=3)
    assert propose(CLOSE, "has_close", seed=3) != propose(CLOSE, "has_close", seed=4)


def test_nothing_is_written_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    propose(CLOSE, "has_close", budget=40)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60)
@given(
    st.text(alphabet="def f(x):\n '\"[]{}->=>.,1aassert", max_size=80),
    st.text(alphabet="f(x)=1 '\"[]{}->=>.,>\n", max_size=80),
)
def test_any_text_is_survived(source, docstring):
    propose(source, "f", tests=[docstring], budget=4)
    from_docstring(docstring, "f")
    propose(f"def f(x):\n    {docstring!r}", "f", budget=4)


def test_refine_proposes_new_neighbours_of_disagreement():
    import numpy as np

    tried = propose(CLOSE, "has_close", budget=8).probes
    labels = np.zeros((4, 8), dtype=np.int32)
    labels[2:, 5] = 1
    refined = refine(CLOSE, "has_close", tried, labels, budget=10)
    assert 5 <= len(refined.probes) <= 10
    assert not set(map(repr, refined.probes)) & set(map(repr, tried))
    assert disagreement(labels).argmax() == 5


def test_choose_takes_probes_that_split_different_pairs():
    import numpy as np

    labels = np.array([[0, 0, 0, 5], [0, 0, 1, -1], [1, 1, 0, 5], [1, 1, 1, -1]], dtype=np.int32)
    assert choose(labels, 3) == [0, 2], "the second probe repeats the first, the last one only crashes"
