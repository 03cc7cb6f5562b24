"""Test that a mutation changes one argument, but not its type."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs.generate import Hints
from sandbox.inputs.mutate import mutate, mutate_call
from sandbox.program import Call
from sandbox.values import Value

VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 1000))
def test_a_mutation_keeps_the_type_and_the_original(value: object, seed: int) -> None:
    before = Value.of(value).canonical
    assert type(mutate(value, Hints(), Random(seed))) is type(value)
    assert Value.of(value).canonical == before


@given(st.lists(VALUES, max_size=3), VALUES, st.integers(0, 1000))
def test_at_most_one_argument_changes(args: list[object], keyword: object, seed: int) -> None:
    call = Call("f", tuple(args), {"k": keyword})
    changed = mutate_call(call, Hints(), Random(seed))
    before, after = [*call.args, keyword], [*changed.args, changed.kwargs["k"]]
    assert len(after) == len(before)
    pairs = zip(before, after, strict=True)
    assert sum(Value.of(a).canonical != Value.of(b).canonical for a, b in pairs) <= 1
