"""Test elections about parameters that are objects: right candidates win over one that ignores the type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.consensus.doubt import why_doubted
from sandbox.consensus.election import Ballot, Election, elect
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.types import Cluster, Decision
from sandbox.inputs import ProbeSet, propose
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Vote
from sandbox.values import Value

POINT = "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    y: int\n"
LEVEL = "from enum import Enum\nclass Level(Enum):\n    LOW = 1\n    MIDDLE = 2\n    HIGH = 3\n"
TEAM = """
class Team:
    def __init__(self, name: str, members: list[str]):
        self.name, self.members = name, members
"""
SHAPES = """
from abc import ABC, abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...
class Square(Shape):
    def __init__(self, side: float): self.side = side
    def area(self) -> float: return self.side * self.side
"""
TREE = """
from dataclasses import dataclass
from typing import Optional
@dataclass
class Node:
    value: int
    left: "Optional[Node]" = None
    right: "Optional[Node]" = None
"""
SHAPES_OF_DOCUMENTS = {
    "dataclass": (
        POINT, "distance(a: Point, b: Point) -> int",
        ("return abs(a.x - b.x) + abs(a.y - b.y)", "dx, dy = a.x - b.x, a.y - b.y\n    return abs(dx) + abs(dy)"),
        "return abs(a - b) if a != b else 0",
    ),
    "list of dataclass": (
        POINT, "leftmost(points: list[Point]) -> int | None",
        ("return min((p.x for p in points), default=None)",
         "return sorted(p.x for p in points)[0] if points else None"),
        "return len(points)",
    ),
    "enum": (
        LEVEL, "is_high(level: Level) -> bool",
        ("return level is Level.HIGH", "return level == Level.HIGH"),
        "return level == 3",
    ),
    "dict of enum": (
        LEVEL, "count_high(levels: dict[str, Level]) -> int",
        ("return sum(v is Level.HIGH for v in levels.values())", "return list(levels.values()).count(Level.HIGH)"),
        "return len(levels)",
    ),
    "date": (
        "from datetime import date\n", "is_weekend(day: date) -> bool",
        ("return day.weekday() >= 5", "return day.isoweekday() in (6, 7)"),
        "return day == 6",
    ),
    "date that is returned": (
        "from datetime import date, timedelta\n", "tomorrow(day: date) -> date",
        ("return day + timedelta(days=1)", "return date.fromordinal(day.toordinal() + 1)"),
        "return str(day)",
    ),
    "path": (
        "from pathlib import Path\n", "extension(path: Path) -> str",
        ("return path.suffix.lower()", "return path.suffix.casefold()"),
        "return str(path).split('.')[-1]",
    ),
    "callable": (
        "from collections.abc import Callable\n", "twice(function: Callable[[int], int], n: int) -> int",
        ("return function(function(n))", "for _ in range(2):\n        n = function(n)\n    return n"),
        "return n * 2",
    ),
    "predicate": (
        "from collections.abc import Callable, Iterable\n",
        "count_if(test: Callable[[str], bool], xs: Iterable[str]) -> int",
        ("return sum(1 for x in xs if test(x))", "return len(list(filter(test, xs)))"),
        "return len(xs)",
    ),
    "changed object": (
        TEAM, "join(team: Team, member: str) -> None",
        ("team.members.append(member)", "team.members += [member]"),
        "team = member",
    ),
    "abstract class": (
        SHAPES, "double_area(shape: Shape) -> float",
        ("return 2 * shape.area()", "return shape.area() + shape.area()"),
        "return 2.0",
    ),
    "tree": (
        TREE, "total(node: Node | None) -> int",
        ("return 0 if node is None else node.value + total(node.left) + total(node.right)",
         "if not node:\n        return 0\n    return total(node.left) + node.value + total(node.right)"),
        "return 0",
    ),
    "file": (
        "from typing import TextIO\n", "n_lines(file: TextIO) -> int",
        ("return sum(1 for _ in file)", "return len(file.readlines())"),
        "return len(str(file))",
    ),
    "money": (
        "from decimal import Decimal\n", "with_tax(price: Decimal) -> Decimal",
        ("return price * Decimal('1.2')", "return price + price * Decimal('0.2')"),
        "return 1.2",
    ),
    "typed dict": (
        "from typing import TypedDict\nclass User(TypedDict):\n    name: str\n    age: int\n",
        "is_adult(user: User) -> bool",
        ("return user['age'] >= 18", "return not user['age'] < 18"),
        "return bool(user)",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


def held(
    sandbox: Sandbox, document: str, signature: str, bodies: list[str], inputs: ProbeSet | None = None
) -> Election:
    """Hold an election among bodies of one function; the first ones are less fluent than the last."""
    stub = f"{document}\ndef {signature}:\n"
    proposed = inputs or propose(stub + "    pass\n", signature.partition("(")[0])
    ballots = [
        Ballot(f"{stub}    {body}\n", -0.5 + 0.01 * i, f"    {body}\n") for i, body in enumerate(bodies)
    ]
    return elect(ballots, proposed, sandbox=sandbox, rule=RULES[DEFAULT_RULE], limits=Limits())


@pytest.mark.parametrize("shape", SHAPES_OF_DOCUMENTS)
@pytest.mark.parametrize("n_second", [0, 3])
def test_seven_right_candidates_win_over_one_that_ignores_the_type(
    sandbox: Sandbox, shape: str, n_second: int
) -> None:
    document, signature, (first, second), wrong = SHAPES_OF_DOCUMENTS[shape]
    election = held(sandbox, document, signature, [first] * (7 - n_second) + [second] * n_second + [wrong])
    assert election.by_consensus, election.decision.reason
    assert set(election.decision.clusters[0].members) == set(range(7))
    assert election.chosen in range(7)


def test_where_the_guessed_inputs_do_not_fit_the_majority_is_chosen_without_consensus(
    sandbox: Sandbox,
) -> None:
    election = held(
        sandbox, "", "total(basket)", ["return sum(item.price for item in basket)"] * 7 + ["return basket"]
    )
    assert not election.by_consensus
    assert (
        election.decision.reason
        == "the inputs do not fit: 7 of 8 candidates raise a type error on all of them"
    )
    assert election.chosen in range(7)


def test_a_candidate_that_raises_on_annotated_inputs_is_at_fault(sandbox: Sandbox) -> None:
    bodies = ["return xs.total()"] * 5 + ["return sum(xs)"] * 3
    election = held(sandbox, "", "total(xs: list[int])", bodies)
    assert election.by_consensus
    assert election.chosen in (5, 6, 7)


def test_results_that_cannot_be_compared_do_not_lose_to_one_that_can(sandbox: Sandbox) -> None:
    document = "class Box:\n    def __init__(self, n: int): self.n = n\n"
    election = held(sandbox, document, "boxed(n: int)", ["return Box(n)"] * 7 + ["return n"])
    assert not election.by_consensus
    assert election.decision.reason == "7 of 8 candidates return objects that cannot be compared"
    assert election.chosen in range(7)


def test_an_unknown_type_is_an_abstention_with_its_reason(sandbox: Sandbox) -> None:
    bodies = ["return people['age'].mean()"] * 7 + ["return 0"]
    election = held(sandbox, "import pandas as pd\n", "mean_age(people: pd.DataFrame) -> float", bodies)
    assert election.decision.reason == "no input could be made for `people: pd.DataFrame`"
    assert election.chosen in range(7)


def test_objects_are_built_anew_for_each_input(sandbox: Sandbox) -> None:
    signature = "grow(p: Point, seen: list[Point]) -> int"
    body = "p.x += 100\n    seen.append(p)\n    return len(seen)"
    inputs = propose(f"{POINT}\ndef {signature}: pass\n", "grow")
    twice = ProbeSet(inputs.probes * 2)
    result = held(sandbox, POINT, signature, [body], twice).results[0]
    assert result is not None
    half = len(inputs.probes)
    assert [o.value for o in result.outcomes[:half]] == [o.value for o in result.outcomes[half:]]
    assert all(o.status is Status.OK for o in result.outcomes)


def test_building_happens_in_the_jail_only(sandbox: Sandbox) -> None:
    document = "import os\nclass Spy:\n    def __init__(self, n: int): self.pid = os.getpid()\n"
    election = held(sandbox, document, "pid(spy: Spy) -> int", ["return spy.pid"])
    result = election.results[0]
    assert result is not None
    values = {outcome.value.python() for outcome in result.outcomes if outcome.value is not None}
    assert len(values) == 1
    assert __import__("os").getpid() not in values


def result(*outcomes: Outcome) -> JobResult:
    return JobResult(Outcome(Status.OK), outcomes, 1)


OK, REFUSED = Outcome(Status.OK, Value.of(1)), Outcome(Status.EXCEPTION, exception="AttributeError")
OTHER = Outcome(Status.EXCEPTION, exception="ValueError")


@pytest.mark.parametrize(
    ("results", "inputs", "doubted"),
    [
        ([result(OK, OK), *[result(REFUSED, REFUSED)] * 2], ProbeSet(guessed=True), True),
        ([result(OK, OK), *[result(REFUSED, REFUSED)] * 2], ProbeSet(), False),
        ([result(OK, OK), *[result(REFUSED, OTHER)] * 2], ProbeSet(guessed=True), False),
        (
            [result(OK, OK), *[result(REFUSED, REFUSED)] * 2],
            ProbeSet(guessed=True, constraints=(Vote(0, Value.of(1)),)),
            False,
        ),
        ([result(OK, OK), result(REFUSED, REFUSED), None], ProbeSet(guessed=True), False),
        ([result(OK, OK), result(REFUSED, REFUSED)], ProbeSet(guessed=True), False),
    ],
)  # fmt: skip
def test_a_winner_is_doubted_only_against_a_majority(
    results: list[JobResult | None], inputs: ProbeSet, doubted: bool
) -> None:
    decision = Decision("joint", (Cluster((0,), 1.0, 0.5),), 0, 0.5, "alike")
    assert bool(why_doubted(decision, results, inputs)[0]) is doubted
    assert why_doubted(Decision("joint", (), None, 0.0, "none"), results, inputs) == ("", True)


@pytest.mark.parametrize(
    ("document", "signature", "right", "wrong"),
    [
        (LEVEL, "level_of(score: int) -> Level",
         ("return Level.HIGH if score > 2 else Level.LOW",
          "if score <= 2:\n        return Level.LOW\n    return Level.HIGH"),
         "return 'HIGH'"),
        (POINT, "mirrored(xs: list[int]) -> list[Point]",
         ("return [Point(x, -x) for x in xs]", "return [Point(y=-x, x=x) for x in xs]"), "return xs"),
        ("from datetime import date\n", "new_year(year: int) -> date",
         ("return date(year % 9 + 1, 1, 1)", "return date(year=year % 9 + 1, month=1, day=1)"), "return str(year)"),
    ],
    ids=["enum", "list of dataclass", "date"],
)  # fmt: skip
def test_objects_that_plain_inputs_give_are_compared(
    sandbox: Sandbox, document: str, signature: str, right: tuple[str, str], wrong: str
) -> None:
    election = held(sandbox, document, signature, [right[0]] * 4 + [right[1]] * 3 + [wrong])
    assert election.by_consensus, election.decision.reason
    assert set(election.decision.clusters[0].members) == set(range(7))
