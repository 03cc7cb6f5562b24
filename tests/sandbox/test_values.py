"""Test canonical values: one spelling each, and bounded reading of bytes."""

from __future__ import annotations

import copy
import csv
import datetime
import enum
import functools
import io
import itertools
import math
import random
import re
import struct
import threading
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Generic, TypeVar
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.jailed.canonical import _Writer, encode
from sandbox.values import Malformed, Value

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
)
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=6
)
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(hashable, inner, max_size=5)
        | st.sets(hashable, max_size=5)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(data)
def test_every_value_equals_itself_and_survives_reading(obj: object) -> None:
    value = Value.of(obj)
    assert not value.opaque
    assert value == Value.of(obj)
    assert Value.parse(value.canonical) == value
    value.python()


@given(
    st.recursive(
        scalars, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_reading_gives_the_same_data_back(obj: object) -> None:
    """Read values back.

    No set here holds both False and 0.0: they are two values, but one member in Python.
    """
    value = Value.of(obj)
    assert Value.of(value.python()) == value


@given(st.dictionaries(hashable, scalars, max_size=6), st.randoms(use_true_random=False))
def test_dicts_and_sets_have_no_order(mapping: dict[object, object], chance: object) -> None:
    items = list(mapping.items())
    chance.shuffle(items)  # type: ignore[attr-defined]
    assert Value.of(dict(items)) == Value.of(mapping)
    assert Value.of({k for k, _ in items}) == Value.of(set(mapping))


@given(st.binary(max_size=200))
def test_reading_anything_is_bounded(noise: bytes) -> None:
    try:
        value = Value.parse(noise)
    except Malformed:
        return
    value.text()


@given(data, st.data())
def test_reading_damaged_values_is_bounded(obj: object, chance: st.DataObject) -> None:
    damaged = bytearray(Value.of(obj).canonical)
    damaged[chance.draw(st.integers(0, len(damaged) - 1))] = chance.draw(st.integers(0, 255))
    try:
        Value.parse(bytes(damaged)).text()
    except Malformed:
        return


@given(data | st.lists(st.integers(), max_size=40) | st.lists(st.integers(), max_size=40).map(tuple))
@example([1, True])
@example((0, False))
@example("\ud800 and \u00e9")
def test_both_writers_agree(obj: object) -> None:
    thorough = _Writer(1 << 26, describe=False)
    thorough.write(obj)
    assert encode(obj) == b"".join(thorough.parts)


@given(st.lists(st.sampled_from([b"S1:", b"Z1:", b"d1:", b"l1:", b"t1:"]), max_size=100))
@example([b"S1:"] * 100)
@example([b"d1:"] * 100)
def test_reading_unhashable_members_takes_linear_memory(levels: list[bytes]) -> None:
    """Read nested sets of lists.

    Python has no set of lists, but JavaScript has, and a hostile child may nest them.
    """
    written = b"".join(levels) + b"l0:" + b"N" * levels.count(b"d1:")
    value = Value.parse(written)
    assert value == Value.parse(written)
    assert len(repr(value.python())) < 20 * len(written)


def test_unhashable_members_are_shown_and_distinguished() -> None:
    assert Value.parse(b"S2:l1:i1;l1:i2;").text() in ("{[1], [2]}", "{[2], [1]}")
    assert Value.parse(b"d1:S1:i1;N").text() == "{{1}: None}"
    assert len(Value.parse(b"S3:l1:i1;l1:i1;l1:i2;").python()) == 2  # type: ignore[arg-type]


def test_checking_never_hashes_bytes_from_a_child() -> None:
    """Check numbers that all have the same hash.

    A set would compare each of them with all before it, which takes minutes.
    """
    members = sorted(b"i%x;" % (n * (2**61 - 1)) for n in range(1, 100_001))
    assert not Value.parse(b"S100000:" + b"".join(members)).opaque
    assert not Value.parse(b"d100000:" + b"".join(member + b"N" for member in members)).opaque


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (1, 1.0), ([1], (1,)), ("1", 1), (b"a", "a"), ({1}, frozenset({1})), (None, 0)],
)
def test_types_are_part_of_the_value(left: object, right: object) -> None:
    assert Value.of(left) != Value.of(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(0.1 + 0.2, 0.3), (0.0, -0.0), (math.nan, -math.nan), (1e-17, 0.0), (1 / 3, 0.33333333333)],
)
def test_floats_are_equal_within_the_stated_tolerance(left: float, right: float) -> None:
    assert Value.of(left) == Value.of(right)
    assert Value.of(1.0) != Value.of(1.0000001)


def test_subclasses_and_objects_are_opaque() -> None:
    class Sly(int):
        pass

    for obj in (Sly(3), object(), print, [Sly(1)], {"a": object()}, type):
        assert Value.of(obj).opaque
        assert Value.of(obj) != Value.of(obj)


class Bag(dict):  # type: ignore[type-arg]
    pass


class Number(int):
    pass


class Recent(OrderedDict):  # type: ignore[type-arg]
    def __init__(self, *items: tuple[object, object]) -> None:
        super().__init__(items)
        self.size = 2


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self, value: object, hidden: object = None) -> None:
        self.value, self.__hidden = value, hidden


class Mixed(Slotted):
    def __init__(self, value: object, more: object) -> None:
        super().__init__(value)
        self.more = more


class Stack(Generic[TypeVar("T")]):  # type: ignore[misc]
    def __init__(self, *items: object) -> None:
        self.items = list(items)


class Tree:
    def __init__(self, value: object) -> None:
        self.value, self.root = value, self


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Counter("ab"), Counter("abb")), (Bag(a=1), Bag(a=2)), (Number(1), Number(2)),
        (Recent((1, 2), (3, 4)), Recent((3, 4), (1, 2))), (OrderedDict(a=1), OrderedDict(a=2)),
        (Slotted(1), Slotted(2)), (Slotted(1, 2), Slotted(1, 3)), (Mixed(1, 2), Mixed(1, 3)),
        (Mixed(1, 2), Mixed(2, 2)), (Stack(1), Stack(2)), (Tree(1), Tree(2)), (Bag(a=Number(1)), Bag(a=Number(2))),
        (SimpleNamespace(a=1), SimpleNamespace(a=2)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_described_object_is_written_with_its_whole_state(left: object, right: object) -> None:
    for obj in (left, right):
        assert Value.parse(encode(obj, describe=True)) == Value.parse(
            encode(copy.deepcopy(obj), describe=True)
        )
        assert Value.of(obj).opaque
    assert encode(left, describe=True) != encode(right, describe=True)


class Fails(ValueError):
    pass


class Partial(functools.partial):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    "obj",
    [
        ValueError(1), Fails(1), len, lambda: 1, Partial(print, 1), random.Random(1), object(), Slotted,
        [Stack(Fails(1))], threading.Lock(),
    ],
    ids=lambda obj: type(obj).__name__,
)  # fmt: skip
def test_a_described_object_with_hidden_state_is_opaque(obj: object) -> None:
    assert Value.parse(encode(obj, describe=True)).opaque


def test_described_objects_are_shown_with_their_content() -> None:
    assert Value.parse(encode(Bag(a=1), describe=True)).text() == "<Bag {'a': 1}>"
    assert Value.parse(encode(Recent((1, 2)), describe=True)).text() == "<Recent [(1, 2)], size=2>"


def test_cycles_and_depth_are_bounded() -> None:
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert Value.of(cycle) == Value.of(cycle)
    assert Value.of(cycle).text() == "[1, ...]"
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert Value.of(deep).opaque


def test_text_is_cut_to_its_width_and_never_fails() -> None:
    assert Value.of("a" * 500).text(20).endswith("…")
    assert "bytes of data" in Value.of(1 << 100_000).text()
    assert Value.of("\ud800").text()


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Day(datetime.date):
    pass


@pytest.mark.parametrize(
    ("left", "equal", "different"),
    [
        (datetime.date(2024, 2, 29), datetime.date.fromisoformat("2024-02-29"), datetime.date(2024, 3, 1)),
        (datetime.timedelta(hours=24), datetime.timedelta(1), datetime.timedelta(2)),
        (datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, 0), datetime.date(2024, 1, 1)),
        (Decimal("1.50"), Decimal("1.5"), Decimal("15")),
        (Decimal("0.00"), Decimal("-0"), Decimal("0.01")),
        (Decimal("NaN"), Decimal("NaN"), Decimal("Infinity")),
        (Decimal("100"), Decimal("1E+2"), Decimal("10")),
        (Fraction(2, 4), Fraction(1, 2), Fraction(1, 3)),
        (PurePosixPath("a/b"), PurePosixPath("a") / "b", PurePosixPath("a")),
        (UUID(int=1), UUID(int=1), UUID(int=2)),
        (deque([1]), deque([1]), deque([2])),
        (defaultdict(int, a=1), defaultdict(list, a=1), defaultdict(int, a=2)),
        ([datetime.date(2024, 1, 1)], [datetime.date(2024, 1, 1)], []),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_values_of_the_standard_library_are_compared(left: object, equal: object, different: object) -> None:
    assert Value.of(left) == Value.of(equal)
    assert Value.of(left) != Value.of(different)
    assert Value.parse(encode(left)).text()


def test_a_file_counts_by_content_and_position() -> None:
    read = io.StringIO("ab")
    read.read()
    assert Value.of(io.StringIO("ab")) == Value.of(io.StringIO("ab"))
    assert Value.of(io.StringIO("ab")) != Value.of(read)
    read.close()
    assert not Value.of(read).opaque


def test_subclasses_and_enum_members_stay_opaque_unless_described() -> None:
    assert Value.of(Day(2024, 1, 1)).opaque
    assert Value.of(Level.LOW).opaque
    assert Value.parse(encode(Day(2024, 1, 1), describe=True)).opaque
    low, high = (Value.parse(encode(level, describe=True)) for level in Level)
    assert not low.opaque
    assert low != high


def test_a_container_of_the_standard_library_that_holds_itself_is_opaque() -> None:
    endless: deque[object] = deque()
    endless.append(endless)
    assert Value.of(endless).opaque


class Steps:
    """An iterator that is a class: each step may have any effect."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> int:
        self.taken += 1
        return self.taken


class Zipped(zip):  # type: ignore[type-arg]
    pass


ITERATORS: dict[str, Callable[[list[int]], Iterator[object]]] = {
    "list": iter,
    "reversed list": reversed,
    "tuple": lambda xs: iter(tuple(xs)),
    "deque": lambda xs: iter(deque(xs)),
    "reversed deque": lambda xs: reversed(deque(xs)),
    "dict": lambda xs: iter(dict.fromkeys(xs)),
    "reversed dict": lambda xs: reversed(dict.fromkeys(xs)),
    "reversed items": lambda xs: reversed(dict.fromkeys(xs).items()),
    "ordered dict": lambda xs: iter(OrderedDict.fromkeys(xs)),
    "text": lambda xs: iter("".join(map(str, xs))),
    "bytes": lambda xs: iter(bytes(xs)),
    "bytearray": lambda xs: iter(bytearray(xs)),
    "memoryview": lambda xs: iter(memoryview(bytes(xs))),
    "array": lambda xs: iter(array("q", xs)),
    "range": lambda xs: iter(range(len(xs))),
    "map": lambda xs: map(str, xs),
    "zip": lambda xs: zip(xs, xs, strict=True),
    "enumerate": enumerate,
    "filter": lambda xs: filter(None, xs),
    "generator": lambda xs: (x for x in xs),
    "calls": lambda xs: iter([*xs].pop, -1) if -1 in xs else iter([]),
    "chain": lambda xs: itertools.chain(xs, xs),
    "permutations": lambda xs: itertools.permutations(xs, 2),
    "tee": lambda xs: itertools.tee(xs)[0],
    "islice": lambda xs: itertools.islice(xs, 2),
    "accumulate": itertools.accumulate,
    "matches": lambda xs: (m.span() for m in re.finditer("1", str(xs))),
    "packed": lambda xs: struct.iter_unpack("B", bytes(xs)),
    "rows": lambda xs: csv.reader(map(str, xs)),
}  # fmt: skip


@given(st.lists(st.integers(0, 255), max_size=6))
def test_iterators_count_as_the_items_they_yield(xs: list[int]) -> None:
    for name, make in ITERATORS.items():
        value, items = Value.of(make(xs)), [*make(xs)]
        assert not value.opaque, name
        assert value == Value.of(item for item in items), name
        assert value.python().items == items, name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "endless", [itertools.count(), itertools.cycle([1]), itertools.repeat(0), iter(int, 1)]
)
def test_endless_iterators_are_read_for_a_thousand_items(endless: Iterator[object]) -> None:
    found = Value.of(endless).python()
    assert (len(found.items), found.more) == (1000, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "iterator", [Steps(), Zipped([1]), io.TextIOWrapper(io.BytesIO(b"a")), io.FileIO("/dev/null")]
)
def test_an_iterator_of_a_class_is_opaque_and_not_used(iterator: Iterator[object]) -> None:
    assert Value.of(iterator).opaque
    if isinstance(iterator, Steps):
        assert iterator.taken == 0
    if isinstance(iterator, io.IOBase):
        iterator.close()


def test_the_groups_of_groupby_are_read_before_the_next_one() -> None:
    found = Value.of(itertools.groupby("aab"))
    assert found == Value.of((key, iter(items)) for key, items in [("a", ["a", "a"]), ("b", ["b"])])
    assert found != Value.of(itertools.groupby("ab"))


@given(st.dictionaries(st.integers(), st.lists(st.integers(), max_size=2) | st.text(max_size=2), max_size=5))
def test_keys_and_items_of_a_dict_count_as_sets_and_its_values_as_an_iterator(
    entries: dict[int, object],
) -> None:
    backwards = dict(reversed(entries.items()))
    for kind in (dict, OrderedDict):
        made, turned = kind(entries), kind(backwards)
        assert Value.of(made.keys()) == Value.of(turned.keys()) == Value.of(set(entries))
        assert Value.of(made.items()) == Value.of(turned.items()) == Value.of(entries.items())
        assert Value.of(made.values()) == Value.of(item for item in entries.values())
    assert Value.of({1: 2}.items()) == Value.of({(1, 2)})
    other = {**entries, 0.5: "other"}
    assert Value.of(other.keys()) != Value.of(entries.keys())
    assert Value.of(other.items()) != Value.of(entries.items())


def test_a_dict_that_holds_its_own_views_is_written_once() -> None:
    held: dict[str, object] = {}
    held.update(items=held.items(), keys=held.keys())
    assert "('items', ...)" in Value.of(held).text(200)
    assert not Value.of(held).opaque
    again: list[object] = []
    again.append(itertools.cycle(again))
    assert not Value.of(again).opaque


def test_matches_show_their_span_and_groups() -> None:
    first, second, same = (re.search(p, t) for p, t in [("(a)b", "ab"), ("(a)b", "xab"), ("(.).", "ab")])
    assert Value.of(first).text() == "<re.Match span=(0, 2), group='ab', groups=('a',)>"
    assert Value.of(first) == Value.of(same) != Value.of(second)
    assert Value.of([*re.finditer("a", "aa")]) == Value.of([*re.finditer("a", "aa")])
    assert Value.of(re.compile("a")) == Value.of(re.compile("a")) != Value.of(re.compile("a", re.IGNORECASE))


def test_a_described_object_does_not_lose_the_numbers_that_it_counts_with() -> None:
    """Reading `itertools.count` would use up its numbers, and a later step would get others."""
    holder = SimpleNamespace(ids=itertools.count(3))
    box = Stack(holder.ids)
    shown = Value.parse(encode(box, describe=True))
    assert not shown.opaque
    assert next(holder.ids) == 3
    assert Value.parse(encode(box, describe=True)) != shown
