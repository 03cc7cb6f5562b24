"""Test proposed probe inputs: deterministic, plain data, never an exception."""

from __future__ import annotations

import textwrap

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.inputs import propose
from sandbox.inputs.doctests import from_docstring
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


def test_the_same_seed_gives_the_same_probes():
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
def test_no_text_raises_an_error(source, docstring):
    propose(source, "f", tests=[docstring], budget=4)
    from_docstring(docstring, "f")
    propose(f"def f(x):\n    {docstring!r}", "f", budget=4)
