"""Propose the probe inputs of one target function, before anything runs.

The sources, most trusted first:

1. examples in the docstring;
2. calls in generated asserts, the most repeated first;
3. calls seen elsewhere;
4. small edge cases of the parameters' kinds;
5. mutations of all those, and typical values, in turn.

The same text, examples and seed give the same probes. Official tests are never passed in here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from sandbox.inputs import generate, kinds
from sandbox.inputs.asserts import Example, from_asserts
from sandbox.inputs.doctests import from_docstring
from sandbox.inputs.mutate import mutate_call
from sandbox.inputs.parameters import parameter_kind, parameter_kinds
from sandbox.inputs.target import Target, find_target
from sandbox.program import Call, Probe, Vote
from sandbox.program import Sequence as CallSequence
from sandbox.values import Value


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes, the origin of each, and the values expected of some."""

    probes: tuple[Probe, ...] = ()
    origins: tuple[str, ...] = ()
    """One word per probe: example, assert, seen, edge, mutation, type or distinguishing."""
    constraints: tuple[Vote, ...] = ()
    """Expected values that the author wrote as examples."""
    asserts: tuple[Vote, ...] = ()
    """Weak votes, one per generated assert (repeated asserts repeat) and one per remark in prose."""


def propose(
    source: str,
    function: str,
    *,
    examples: Sequence[Probe] = (),
    tests: Sequence[str] = (),
    budget: int = 16,
    seed: int = 0,
) -> ProbeSet:
    """Propose up to `budget` probes for a function defined in `source`.

    `function` is `name` or `Class.method`. `source` needs the signature and the docstring; the body may be
    missing and the rest may not parse. `examples` are calls seen elsewhere; `tests` are texts of generated
    asserts. There are fewer probes, or none, where the function is not found or its parameters cannot be
    filled with plain data.
    """
    target = find_target(source, function)
    if target is None or budget <= 0:
        return ProbeSet()
    written = from_docstring(target.docstring, function)
    asserted = [example for text in tests for example in from_asserts(text, function)]
    collector = Collector(target, budget)

    # 1. What the author and the model wrote. Asserts may use most of the budget, not all of it.
    for example in written:
        collector.add(example.probe, "example")
    repeated = Counter(_key(example.probe) for example in asserted)
    first = {_key(example.probe): example.probe for example in reversed(asserted)}
    n_asserts = budget - budget // 4
    for key, _ in repeated.most_common():
        if collector.count("assert") >= n_asserts:
            break
        collector.add(first[key], "assert")
    for probe in examples:
        collector.add(probe, "seen")

    # 2. What follows from the parameters' kinds.
    seen = [p for p in (*collector.probes, *first.values()) if isinstance(p, Call)]
    for call, origin in _generated(target, seen, budget, seed):
        if collector.full:
            break
        collector.add(call, origin)
    return collector.result(written, asserted)


class Collector:
    """Collect distinct probes up to the budget.

    Calls of methods become call sequences that build an object first.
    """

    def __init__(self, target: Target, budget: int) -> None:
        self.target, self.budget = target, budget
        self.probes: list[Probe] = []
        self.origins: list[str] = []
        self.index: dict[str, int] = {}
        self.constructions = list(_constructions(target))

    @property
    def full(self) -> bool:
        return len(self.probes) >= self.budget

    def count(self, origin: str) -> int:
        return self.origins.count(origin)

    def add(self, probe: Probe, origin: str) -> None:
        key = _key(probe)
        if self.full or key in self.index or not _is_small(probe):
            return
        if isinstance(probe, Call) and self.target.owner:
            if not self.constructions:
                return
            construct = self.constructions[len(self.probes) % len(self.constructions)]
            method = self.target.name.rpartition(".")[2]
            probe = CallSequence(construct, (Call(method, probe.args, probe.kwargs),))
        self.index[key] = len(self.probes)
        self.probes.append(probe)
        self.origins.append(origin)

    def result(self, written: Iterable[Example], asserted: Iterable[Example]) -> ProbeSet:
        constraints: list[Vote] = []
        asserts: list[Vote] = []
        for example in (*written, *asserted):
            at = self.index.get(_key(example.probe))
            # The value of a method's call sequence includes the object's state, which examples leave out.
            if at is None or not example.known or isinstance(self.probes[at], CallSequence):
                continue
            (constraints if example.hard else asserts).append(Vote(at, Value.of(example.expected)))
        return ProbeSet(tuple(self.probes), tuple(self.origins), tuple(constraints), tuple(asserts))


def _key(probe: Probe) -> str:
    return repr(probe)


def _is_small(probe: Probe) -> bool:
    """Check that the arguments are small enough to be sent."""
    return len(repr(probe)) <= 20_000


def call_hints(target: Target, calls: Sequence[Call]) -> generate.Hints:
    """Collect strings and numbers of the calls and the docstring's quotes."""
    values: list[object] = [value for call in calls for value in (*call.args, *call.kwargs.values())]
    return generate.hints_of([*values, *quoted(target.docstring)])


def quoted(docstring: str) -> list[str]:
    """Return short quoted strings of the docstring, since inputs may hold them."""
    found = []
    for quote in ("'", '"', "`"):
        pieces = docstring.split(quote)
        found += [piece for piece in pieces[1::2] if 0 < len(piece) <= 20 and "\n" not in piece]
    return [piece for piece in found if not piece.isidentifier() or len(piece) <= 2][:16]


def _generated(target: Target, seen: Sequence[Call], budget: int, seed: int) -> Iterator[tuple[Call, str]]:
    """Yield edge cases, then mutations and typical values in turn.

    Each call comes with its origin.
    """
    positional = [p for p in target.parameters if not p.keyword_only]
    found = parameter_kinds(positional, seen, target.docstring)
    hints = call_hints(target, seen)
    if not positional:
        yield Call(target.name), "edge"
        return
    fixed = _required_keywords(target, hints)
    edges = list(edge_calls(target.name, found, hints, max(4, budget // 2)))
    for call in edges:
        yield Call(call.function, call.args, fixed), "edge"
    random = Random(seed)  # noqa: S311 - inputs, not secrets
    bases = list(seen) or edges
    typical = (Call(target.name, values) for values in generate.draw(found, hints, budget, seed))
    for _ in range(2 * budget):
        base = random.choice(bases)
        yield mutate_call(Call(target.name, base.args, base.kwargs), hints, random), "mutation"
        following = next(typical, None)
        if following is not None:
            yield Call(target.name, following.args, fixed), "type"


def _required_keywords(target: Target, hints: generate.Hints) -> dict[str, object]:
    return {
        p.name: generate.edge_cases(parameter_kind(p, (), target.docstring), hints)[0]
        for p in target.parameters
        if p.keyword_only and p.default is None
    }


def edge_calls(
    function: str, found: Sequence[kinds.Kind], hints: generate.Hints, count: int
) -> Iterator[Call]:
    """Yield up to `count` calls of small edge cases, simplest first.

    Parameters move together and one at a time, in turn; then all combinations of the first cases follow.
    """
    columns = [generate.edge_cases(kind, hints) or [None] for kind in found]
    yielded: set[str] = set()
    together = (tuple(column[i % len(column)] for column in columns) for i in range(12))
    one_moved = (
        tuple(
            column[step] if at == moved and step < len(column) else column[0]
            for at, column in enumerate(columns)
        )
        for step in range(1, 6)
        for moved in range(len(columns))
    )
    crossed = itertools.product(*(column[:4] for column in columns))
    for args in itertools.chain(
        itertools.chain.from_iterable(zip(together, one_moved, strict=False)), crossed
    ):
        if len(yielded) >= count:
            return
        if repr(args) not in yielded:
            yielded.add(repr(args))
            yield Call(function, args)


def _constructions(target: Target) -> Iterator[Call]:
    """Yield a few ways to build the object of a method.

    Required parameters get edge cases.
    """
    required = [p for p in target.constructor if p.default is None and not p.keyword_only]
    required_keywords = [p for p in target.constructor if p.default is None and p.keyword_only]
    found = parameter_kinds(required, (), "")
    hints = generate.Hints()
    if required_keywords and any(kinds.of_annotation(p.annotation) is None for p in required_keywords):
        return
    keywords = {p.name: generate.edge_cases(parameter_kind(p, ()), hints)[0] for p in required_keywords}
    for call in edge_calls(target.owner, found, hints, 3):
        yield Call(target.owner, call.args, keywords)
