"""Test inputs that are objects: a right program accepts them all, in the real sandbox.

Types that cannot be made give no input, and a reason.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs import propose
from sandbox.inputs.kinds import of_annotation
from sandbox.inputs.names import names_of
from sandbox.inputs.objects import Objects
from sandbox.inputs.refine import refine
from sandbox.inputs.target import find_target, parse_quietly
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job, Program, Sequence, probe_text

IMPORTS = """
from __future__ import annotations
import collections, datetime, io, random, re, typing as t, uuid
import datetime as dt
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from fractions import Fraction
from pathlib import Path
from typing import (IO, Any, BinaryIO, ClassVar, Generic, List as L, Literal, NamedTuple, NewType, Optional, Protocol,
    Self, TextIO, TypedDict, TypeVar, Union)
"""
DOCUMENT = (
    IMPORTS
    + """
@dataclass
class Point:
    x: int
    y: int
    def plus(self, other: Self) -> int: return self.x + other.x
    @property
    def norm(self) -> int: return abs(self.x) + abs(self.y)

@dataclass(frozen=True)
class Segment:
    kinds: ClassVar[int] = 0
    a: Point
    b: Point
    length: float = field(init=False, default=0.0)
    tags: list[str] = field(default_factory=list)
    _: KW_ONLY
    name: str

@dataclass
class Point3(Point):
    z: int = 0

class Level(Enum):
    LOW = 1
    HIGH = 3
    def above(self) -> bool: return self is Level.HIGH

class Color(StrEnum):
    RED = auto()
    BLUE = auto()

class Priority(IntEnum):
    A = 1
    B = 2

class Permission(Flag):
    READ = auto()
    WRITE = auto()

class Pair(NamedTuple):
    left: int
    right: str = "x"

class User(TypedDict):
    name: str
    age: int

class Account:
    def __init__(self, owner: str, balance: float = 0.0, *, log=None) -> None:
        self.owner, self.balance = owner, balance
    def deposit(self, amount: float) -> float:
        self.balance += amount
        return self.balance
    @classmethod
    def opened(cls, owner: str) -> str: return cls(owner).owner

class Savings(Account):
    def rate(self) -> float: return self.balance / 100

class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...
    def double(self) -> float: return 2 * self.area()

class Square(Shape):
    def __init__(self, side: float): self.side = side
    def area(self) -> float: return self.side ** 2

class Base:
    def go(self) -> int: raise NotImplementedError

class Walk(Base):
    def go(self) -> int: return 1

class Named(Protocol):
    name: str
    def hello(self) -> str: ...

class Dog:
    def __init__(self, name: str): self.name = name
    def hello(self) -> str: return "wuff " + self.name

class Combine(Protocol):
    def __call__(self, a: int, b: int) -> int: ...

class Node:
    def __init__(self, value=0, next=None): self.value, self.next = value, next

@dataclass
class Tree:
    value: int
    children: list["Tree"] = field(default_factory=list)

@dataclass
class Binary:
    value: int
    left: Optional["Binary"] = None
    right: "Binary | None" = None

class Outer:
    class Inner:
        def __init__(self, n: int): self.n = n

    def add(self, other: "Inner") -> int: return other.n

class Words(list): pass
class Wrong(ValueError): pass
T, U = TypeVar("T"), TypeVar("U")
P = TypeVar("P", bound=Point)
V = TypeVar("V", int, str)
UserId = NewType("UserId", int)
Points = list[Point]
Vector = namedtuple("Vector", "x y")
Side = Enum("Side", ["LEFT", "RIGHT"])
class Stack(Generic[T]):
    def __init__(self) -> None: self.items: list[T] = []
"""
)
RIGHT = [
    ("a: Point", "return a.x + a.y"),
    ("s: Segment", "return (s.a.x - s.b.y, s.name, s.tags + [])"),
    ("p: Point3", "return p.x + p.z"),
    ("level: Level", "return level.name"),
    ("color: Color", "return color.upper()"),
    ("p: Priority", "return p + 1"),
    ("p: Permission", "return Permission.READ in p"),
    ("side: Side", "return side.name"),
    ("p: Pair", "return (p.left, p.right + 'a')"),
    ("v: Vector", "return v.x + v.y"),
    ("u: User", "return u['name'] + str(u['age'] + 1)"),
    ("a: Account", "return a.owner + str(a.balance + 1)"),
    ("a: Savings", "return a.rate()"),
    ("s: Shape", "return s.area()"),
    ("b: Base", "return b.go()"),
    ("n: Named", "return n.hello()"),
    ("head: Optional[Node]", "n = 0\n    while head: n += head.value; head = head.next\n    return n"),
    ("tree: Tree", "return tree.value + sum(c.value for c in tree.children)"),
    ("tree: Binary | None", "return tree.value + bool(tree.left) if tree else 0"),
    ("i: Outer.Inner", "return i.n + 1"),
    ("w: Words", "return w + [1]"),
    ("e: Wrong", "return str(e) + type(e).__name__"),
    ("e: Exception", "return str(e)"),
    ("s: Stack[int]", "return s.items"),
    ("p: P", "return p.x"),
    ("v: V", "return v + v"),
    ("u: UserId", "return u + 1"),
    ("points: Points", "return [p.x for p in points]"),
    ("f: Callable[[int], bool], xs: list[int]", "return [x for x in xs if f(x)]"),
    ("f: Callable[[str, int], str]", "return f('a', 2) + ''"),
    ("f: Callable[[], int]", "return f() + 1"),
    ("f: Callable[..., int]", "return f(1, 2) + 1"),
    ("f: Callable", "return f(1)"),
    ("f: Callable[[Point], int], ps: list[Point]", "return sorted(f(p) for p in ps)"),
    ("f: Callable[[T], U], xs: Iterable[T]", "return [f(x) for x in xs]"),
    ("f: Callable[[str], None]", "f('a')"),
    ("f: Combine", "return f(1, 2)"),
    ("day: date", "return day.weekday()"),
    ("when: dt.datetime", "return when.hour"),
    ("when: datetime.time", "return when.hour"),
    ("span: timedelta", "return span.total_seconds()"),
    ("path: Path", "return path.suffix"),
    ("d: Decimal", "return d + Decimal(1)"),
    ("f: Fraction", "return f.numerator"),
    ("u: uuid.UUID", "return u.int"),
    ("p: re.Pattern[str]", "return bool(p.search('abc'))"),
    ("m: re.Match[str]", "return m.group(1)"),
    ("b: bytes", "return b.hex()"),
    ("it: Iterator[int]", "return next(it, None)"),
    ("it: Generator[int, None, None]", "it.close()\n    return 1"),
    ("m: Mapping[str, Level]", "return [level.name for level in m.values()]"),
    ("m: dict[Level, int]", "return sorted(level.name for level in m)"),
    ("s: Set[date]", "return sorted(day.day for day in s)"),
    ("s: frozenset[Pair]", "return sorted(p.left for p in s)"),
    ("d: defaultdict[str, list[int]]", "return d['new']"),
    ("c: Counter[str]", "return sum(n for _, n in c.most_common(1))"),
    ("d: collections.deque[Point]", "d.rotate(1)\n    return [p.x for p in d]"),
    ("d: OrderedDict[str, int]", "d.move_to_end('z') if 'z' in d else 0\n    return list(d)"),
    ("x: Literal[Level.LOW, Level.HIGH]", "return x.name"),
    ("x: Literal['a', -1]", "return x"),
    ("x: Union[Point, str, None]", "return x.x if isinstance(x, Point) else x"),
    ("f: TextIO", "return f.read().upper()"),
    ("f: io.BytesIO", "return f.read()[:2]"),
    ("f: IO[bytes]", "return f.read().hex()"),
    ("f: BinaryIO", "return f.readline() + b'x'"),
    ("d: dict[str, list[Point]]", "return sum(p.x for v in d.values() for p in v)"),
    ("kind: type[Shape]", "return kind.__name__"),
    ("ps: tuple[Point, ...]", "return ps[0].x"),
    ("r: random.Random", "return r.random()"),
    ("trees: L[Tree]", "return [tree.value for tree in trees]"),
    ("trees: t.List['Tree']", "return [tree.value for tree in trees]"),
    ("*, p: Point", "return p.x"),
    ("p: Point, scale: 'int' = 2", "return p.x * scale"),
    ("p: Optional['Point'] = None", "return p.x if p else 0"),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize(("signature", "body"), RIGHT, ids=[signature for signature, _ in RIGHT])
def test_a_right_program_accepts_every_input(sandbox: Sandbox, signature: str, body: str) -> None:
    source = f"{DOCUMENT}\ndef target({signature}):\n    {body}\n"
    proposed = propose(source, "target")
    assert proposed.reason == ""
    assert len(proposed.probes) >= 1
    result = sandbox.run_one(Job(Program(source), proposed.probes, Limits()))
    failed = {
        probe_text(probe): outcome.exception or outcome.status
        for probe, outcome in zip(proposed.probes, result.outcomes, strict=True)
        if outcome.status is not Status.OK or outcome.value is None or outcome.value.opaque
    }
    assert failed == {}


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("Account.deposit", "Account('abc', 1.5); .deposit(1.5)"),
        ("Savings.rate", "Savings('abc', 1.5); .rate()"),
        ("Point.plus", "Point(2, 1); .plus(Point(2, 1))"),
        ("Point.norm", "Point(2, 1).norm"),
        ("Level.above", "Level(Level.LOW); .above()"),
        ("Shape.double", "Square(1.5); .double()"),
        ("Outer.add", "Outer(); .add(Outer.Inner(2))"),
        ("Account.opened", "Account.opened('abc')"),
    ],
)
def test_methods_get_an_object_of_their_class(sandbox: Sandbox, method: str, text: str) -> None:
    proposed = propose(DOCUMENT, method)
    assert text in map(probe_text, proposed.probes)
    result = sandbox.run_one(Job(Program(DOCUMENT), proposed.probes, Limits()))
    assert {outcome.status for outcome in result.outcomes} == {Status.OK}


UNKNOWN = [
    "people: pd.DataFrame", "x: torch.Tensor", "w: Widget", "w: Widget | None", "w: list[Widget]", "w: Derived",
    "c: Config", "d: dict[str, Widget]", "f: Callable[[], Widget]", "x: Undefined",
    "x: 'no expression !'", "x: Awaitable[int]",
    "x: Self", "x: date", "*, w: Widget", "x: Endless", "x: Nothing",
]  # fmt: skip
ELSEWHERE = """
import pandas as pd
import torch
from collections.abc import Awaitable, Callable
from typing import Protocol, Self
from lib import Widget, date

class Derived(Widget): pass
class Config:
    def __init__(self, widget: Widget): pass
    def run(self): pass
class Endless:
    def __init__(self, inner: "Endless"): pass
class Nothing(Protocol):
    def never_defined(self) -> int: ...
"""


@pytest.mark.parametrize("signature", UNKNOWN)
def test_an_unknown_type_gives_no_input_and_a_reason(signature: str) -> None:
    proposed = propose(f"{ELSEWHERE}\ndef target({signature}):\n    pass\n", "target")
    assert proposed.probes == ()
    assert proposed.reason == f"no input could be made for `{signature.removeprefix('*, ')}`"


def test_a_method_of_a_class_that_cannot_be_built_has_a_reason() -> None:
    proposed = propose(ELSEWHERE, "Config.run")
    assert (proposed.probes, proposed.reason) == ((), "no object of the class `Config` could be made")


def test_an_unknown_type_with_a_default_is_left_out() -> None:
    proposed = propose(f"{ELSEWHERE}\ndef target(n: int, w: Widget = None, m: int = 1): pass\n", "target")
    assert proposed.probes
    assert {len(probe.args) for probe in proposed.probes if isinstance(probe, Call)} == {1}


def test_an_example_shows_what_an_unknown_type_is() -> None:
    source = f'{ELSEWHERE}\ndef target(w: Widget):\n    """\n    >>> target(Widget(3))\n    3\n    """\n'
    proposed = propose(source, "target")
    assert [probe_text(probe) for probe in proposed.probes] == ["target(Widget(3))"]
    assert len(proposed.constraints) == 1


def test_doctests_may_use_objects() -> None:
    doctest = '"""\n    >>> target(Point(0, 1), level=Level.HIGH)\n    4\n    >>> target(Point(0, missing))\n    5\n"""'
    proposed = propose(
        f"{DOCUMENT}\ndef target(p: Point, level: Level = Level.LOW):\n    {doctest}\n", "target"
    )
    assert probe_text(proposed.probes[0]) == "target(Point(0, 1), level=Level.HIGH)"
    assert [(vote.probe, vote.expected.python()) for vote in proposed.constraints] == [(0, 4)]
    assert not any("missing" in probe_text(probe) for probe in proposed.probes)


def test_parameters_without_annotation_are_guessed_as_before() -> None:
    proposed = propose("def f(callback, n): pass\n", "f", budget=4)
    assert probe_text(proposed.probes[0]) == "f(2, 2)"
    assert proposed.guessed
    assert not propose("def f(n: int): pass\n", "f").guessed


@pytest.mark.parametrize(
    ("imports", "text"),
    [
        ("from datetime import date", "f(date(2024, 6, 14))"),
        ("import datetime as dt", "f(dt.date(2024, 6, 14))"),
        ("", "f(datetime.date(2024, 6, 14))"),
        ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from datetime import date", "f(datetime.date(2024, 6, 14))"),
    ],
)  # fmt: skip
def test_a_call_is_written_as_the_document_would(sandbox: Sandbox, imports: str, text: str) -> None:
    annotation = "'dt.date'" if "dt" in imports else "'date'"
    source = f"{imports}\ndef f(day: {annotation}) -> int:\n    return day.day\n"
    proposed = propose(source, "f")
    assert probe_text(proposed.probes[0]) == text
    first = sandbox.run_one(Job(Program(source), proposed.probes, Limits())).outcomes[0].value
    assert first is not None
    assert first.python() == 14


def test_refined_inputs_of_objects_are_objects() -> None:
    source = f"{DOCUMENT}\ndef target(points: list[Point]):\n    pass\n"
    tried = propose(source, "target").probes
    labels = __import__("numpy").zeros((2, len(tried)), dtype="int32")
    refined = refine(source, "target", tried, labels, budget=8)
    assert refined.probes
    assert all("Point(" in probe_text(probe) or "[]" in probe_text(probe) for probe in refined.probes)


def test_the_same_objects_are_made_in_every_process() -> None:
    program = (
        "import sys\nfrom sandbox.inputs import propose\nfrom sandbox.program import probe_text\n"
        "print([probe_text(p) for p in propose(sys.stdin.read(), 'target').probes])"
    )
    source = (
        f"{DOCUMENT}\ndef target(s: Segment, level: set[Level], f: Callable[[int], int], tree: Tree): pass\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], input=source, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0].stderr == runs[1].stderr == ""
    assert runs[0].stdout == runs[1].stdout
    assert "Segment(" in runs[0].stdout
    assert "{Level.LOW, Level.HIGH}" in runs[0].stdout


ATOMS = st.sampled_from(
    ["int", "Point", "Level", "Callable", "Tree", "Any", "None", "Widget", "'Point'", "...", "T", "Self", "date",
     "Literal", "Optional", "Union", "Generic", "Counter", "defaultdict", "type", "Points", "1", "-1", "lambda: 0",
     "[int]", "x.y"]
)  # fmt: skip
ANNOTATIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds("{}[{}]".format, inner, inner)
        | st.builds("{}[{}, {}]".format, ATOMS, inner, inner)
        | st.builds("{} | {}".format, inner, inner)
        | st.builds("Callable[[{}], {}]".format, inner, inner)
    ),
    max_leaves=8,
)


@given(ANNOTATIONS | st.text(alphabet="intPolabe[](),|. '\"*:=", max_size=30))
def test_no_annotation_raises_an_error(text: str) -> None:
    target = find_target(f"{DOCUMENT}\ndef target(): pass\n", "target")
    assert target is not None
    tree = parse_quietly(text)
    for statement in tree.body if tree is not None else ():
        node = getattr(statement, "value", None)
        if node is not None:
            of_annotation(node)
            of_annotation(node, Objects(target))
    propose(f"{DOCUMENT}\ndef target(a: {text}, b: {text} = 1): pass\n", "target", budget=4)


@given(st.lists(st.sampled_from(["A", "B", "C"]), max_size=3), st.lists(ANNOTATIONS, min_size=3, max_size=3))
def test_classes_that_hold_each_other_end(bases: list[str], fields: list[str]) -> None:
    classes = "".join(
        f"@dataclass\nclass {name}({base}):\n    x: {field}\n    y: list[{name}]\n    z: 'A | B'\n"
        for name, base, field in zip("ABC", [*bases, "", "", ""], fields, strict=False)
    )
    propose(f"{IMPORTS}\n{classes}\ndef target(a: A, c: C): pass\n", "target", budget=4)


def test_later_definitions_win_and_guarded_imports_count() -> None:
    tree = parse_quietly(
        "try:\n    import numpy as np\nexcept ImportError:\n    np = None\nclass A: pass\nclass A: x: int\n"
    )
    assert tree is not None
    names = names_of(tree)
    assert names.imports["np"] == "numpy"
    assert len(names.classes["A"].body) == 1
    assert names.known("np")
    assert not names.known("date")


def test_keyword_only_objects_vary() -> None:
    probes = propose(f"{DOCUMENT}\ndef target(*, p: Point, n: int): pass\n", "target").probes
    assert probe_text(probes[0]) == "target(p=Point(2, 1), n=2)"
    assert len(probes) == 16


def test_a_property_and_a_method_are_different_probes() -> None:
    assert {type(probe) for probe in propose(DOCUMENT, "Point.norm").probes} == {Expression}
    assert {type(probe) for probe in propose(DOCUMENT, "Point.plus").probes} == {Sequence}
