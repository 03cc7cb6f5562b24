"""Test generated inputs: plausible values that depend on the seed only."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs.generate import Hints, draw, edge_cases, hints_of, typical
from sandbox.inputs.kinds import ANY, BOOL, BYTES, FLOAT, INT, NONE, STR, Kind
from sandbox.values import Value

INTS = Kind("list", (INT,))
WORDS = Kind("list", (STR,))
KINDS = {
    "int": (INT,),
    "float and bool": (FLOAT, BOOL),
    "str": (STR,),
    "bytes": (BYTES,),
    "any": (ANY,),
    "list of int, int": (INTS, INT),
    "list of list of str": (Kind("list", (WORDS,)),),
    "set of str, frozenset of float": (Kind("set", (STR,)), Kind("frozenset", (FLOAT,))),
    "tuple": (Kind("tuple", (INT, STR, Kind("tuple", ()))),),
    "dict of str": (Kind("dict", (STR, INTS)),),
    "dict of int, of choice": (
        Kind("dict", (INT, BOOL)),
        Kind("dict", (Kind("choice", choices=("a", "b")), INT)),
    ),
    "optional str": (Kind("union", (STR, NONE)),),
    "union with equal parts": (Kind("union", (INT, INT, WORDS)),),
    "strings nested deeply": (Kind("list", (Kind("list", (Kind("dict", (STR, STR)),)),)),),
}
HINTS = {
    "nothing seen": Hints(),
    "some seen": hints_of(["ab", "(a)", -3, [7, 2.5]]),
    "wide numbers": hints_of([0, 1, 150, 180, 190, "x"]),
}
FROZEN = {
    "int": "2bcf696b18e5001d",
    "float and bool": "21924ec638e4e61e",
    "str": "f6eb0846039ec8a9",
    "bytes": "323807180668a2eb",
    "any": "122607704f43e1c2",
    "list of int, int": "b50c103eb506a095",
    "list of list of str": "532abbdc6db3ccf5",
    "set of str, frozenset of float": "312bf8bbffccc31d",
    "tuple": "9e2994598bada07a",
    "dict of str": "43bc15efb8321464",
    "dict of int, of choice": "504ee90fe954d1d6",
    "optional str": "7e3f47eacc3d3ac7",
    "union with equal parts": "26792ae3b47c3ce0",
    "strings nested deeply": "c27b7a6044f5a886",
}


@pytest.mark.parametrize("kinds", KINDS)
def test_drawn_inputs_are_frozen(kinds: str) -> None:
    """Compare draws with those for which the published replay figures hold.

    Hypothesis 6.170 made the same draws before.
    """
    assert digest(KINDS[kinds]) == FROZEN[kinds]


def digest(kinds: tuple[Kind, ...]) -> str:
    """Return a hash of the draws for all hints and three seeds."""
    drawn = [list(draw(kinds, hints, 40, seed)) for hints in HINTS.values() for seed in (0, 1, 42)]
    return hashlib.sha256(b"".join(Value.of(values).canonical for values in drawn)).hexdigest()[:16]


@pytest.mark.parametrize("kinds", KINDS)
def test_the_first_inputs_are_the_smallest(kinds: str) -> None:
    first = next(draw(KINDS[kinds], Hints(), 1, 0))
    empty = {int: 0, float: 0.0, bool: False, str: "", bytes: b""}
    for value in first:
        assert not any(value) if isinstance(value, tuple) else value == empty.get(type(value), type(value)())


def test_a_wide_range_gives_its_ends_only() -> None:
    """Check a limitation of the frozen draws (see the docstring of `generate`)."""
    wide = hints_of(range(-200, 200))
    drawn = {args[0] for args in draw((INT,), wide, 500, 0)}
    assert drawn == {0, -wide.reach, -wide.reach + 1, wide.reach - 1, wide.reach}
    narrow = hints_of(range(64))
    assert len({args[0] for args in draw((INT,), narrow, 500, 0)}) == narrow.reach + 1


def test_a_dictionary_has_at_most_as_many_keys_as_there_are() -> None:
    for key, most in ((NONE, 1), (BOOL, 2), (Kind("choice", choices=("a", "b", "c")), 3), (INT, 4)):
        sizes = {len(args[0]) for args in draw((Kind("dict", (key, INT)),), Hints(), 300, 0)}
        assert sizes == set(range(most + 1))


def test_lists_are_half_full_on_average() -> None:
    sizes = [len(args[0]) for args in draw((INTS,), Hints(), 3000, 0)]
    assert set(sizes) == set(range(7))
    assert sum(sizes) / len(sizes) == pytest.approx(3, abs=0.1)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no values for the kind 'widget'"):
        typical(Kind("widget"), Hints(), Random(0))


@pytest.mark.parametrize("kinds", KINDS)
def test_draws_leave_the_shared_random_state_alone(kinds: str) -> None:
    before = random.getstate()
    list(draw(KINDS[kinds], Hints(), 20, 0))
    assert random.getstate() == before


def test_other_threads_change_no_input_and_the_test_library_is_not_imported() -> None:
    program = """
import random, sys, threading
from sandbox.inputs.generate import draw, Hints
from sandbox.inputs.kinds import INT, Kind
kinds = (Kind("list", (INT,)), INT)
alone = list(draw(kinds, Hints(), 60, 1))
stop = threading.Event()
def meanwhile():
    while not stop.is_set():
        random.random()
threading.Thread(target=meanwhile, daemon=True).start()
beside = [list(draw(kinds, Hints(), 60, 1)) for _ in range(5)]
stop.set()
sys.exit(any(drawn != alone for drawn in beside) or "hypothesis" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(PLAIN, max_size=5), st.sampled_from(sorted(KINDS)))
def test_any_hints_give_edge_cases_and_draws(values: list[object], kinds: str) -> None:
    hints = hints_of(values)
    assert all(edge_cases(kind, hints) for kind in KINDS[kinds])
    assert len(list(draw(KINDS[kinds], hints, 5, 0))) == 5
