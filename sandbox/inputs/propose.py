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

import ast
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from sandbox.inputs import generate, kinds
from sandbox.inputs.asserts import Example, from_asserts
from sandbox.inputs.doctests import from_docstring
from sandbox.inputs.mutate import mutate_call
from sandbox.inputs.objects import Objects
from sandbox.inputs.parameters import parameter_kind, parameter_kinds
from sandbox.inputs.target import Parameter, Target, find_target
from sandbox.program import Built, Call, Expression, Probe, Vote, probe_text
from sandbox.program import Sequence as CallSequence
from sandbox.values import Value

MOST_CONSTRUCTIONS = 4
"""Objects that the probes of a method share out."""


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
    reason: str = ""
    """Why there are no probes; empty where there are some."""
    guessed: bool = False
    """True where arguments may be of a wrong type: built objects, and kinds guessed without annotation or example."""


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
    asserts. There are fewer probes, or none with a reason, where the function is not found or a value of a
    parameter's type cannot be made.
    """
    target = find_target(source, function)
    if target is None or budget <= 0:
        return ProbeSet()
    written = from_docstring(target.docstring, function, target.names)
    asserted = [example for text in tests for example in from_asserts(text, function)]
    objects = Objects(target)
    collector = Collector(target, budget, objects)

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
    missing = collector.missing
    try:
        for call, origin in _generated(target, seen, budget, seed, objects):
            if collector.full:
                break
            collector.add(call, origin)
    except NoInput as error:
        missing = missing or str(error)
    found = collector.result(written, asserted)
    if returns_objects(target, objects):
        found = replace(found, probes=tuple(map(describing, found.probes)))
    return replace(found, reason="" if found.probes else missing, guessed=_is_guess(target, seen, objects))


def returns_objects(target: Target, objects: Objects) -> bool:
    """Return True if the annotation of the result names a type that is not plain data."""
    kind = kinds.of_annotation(target.returns, objects)
    return kind is not None and kinds.is_built(kind)


def describing(probe: Probe) -> Probe:
    """Return a call with a built argument: then the state of returned objects is compared (see `Call`)."""
    if not isinstance(probe, Call) or not probe.args or any(_holds_built(value) for value in probe.args):
        return probe
    return replace(probe, args=(Built(repr(probe.args[0])), *probe.args[1:]))


def _holds_built(value: object) -> bool:
    kind = kinds.of_value(value)
    return kind is not None and kinds.is_built(kind)


class NoInput(Exception):
    """Raised for a parameter whose annotation names a type of which no value can be made."""


class Collector:
    """Collect distinct probes up to the budget.

    Calls of methods become call sequences that build an object first.
    """

    def __init__(self, target: Target, budget: int, objects: Objects) -> None:
        self.target, self.budget = target, budget
        self.probes: list[Probe] = []
        self.origins: list[str] = []
        self.index: dict[str, int] = {}
        made = {_key(call): call for call in _constructions(target, objects)} if target.owner else {}
        self.constructions = list(made.values())
        self.missing = f"no object of the class `{target.owner}` could be made" if target.owner else ""
        self.missing = "" if self.constructions else self.missing

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
            at = len(self.probes) % len(self.constructions)
            # Without arguments only the object can differ from one probe to the next.
            found = (
                self.constructions if not (probe.args or probe.kwargs) else self.constructions[at : at + 1]
            )
            for number, construct in enumerate(found[: self.budget - len(self.probes)]):
                self._keep(self._on_object(construct, probe), f"{key} {number}" if number else key, origin)
            return
        self._keep(probe, key, origin)

    def _on_object(self, construct: Call, call: Call) -> Probe:
        """Return the probe that builds an object, then calls the method or reads the property."""
        method = self.target.name.rpartition(".")[2]
        if self.target.is_property:
            return Expression(f"{probe_text(construct)}.{method}")
        return CallSequence(construct, (Call(method, call.args, call.kwargs),))

    def _keep(self, probe: Probe, key: str, origin: str) -> None:
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


def fillable(
    target: Target, seen: Sequence[Call], objects: Objects
) -> tuple[list[Parameter], tuple[kinds.Kind, ...]]:
    """Return the positional parameters that calls fill, and their kinds.

    A parameter with a default whose type cannot be made is left out, with those after it. Raises `NoInput` for one
    without a default.
    """
    positional = [p for p in target.parameters if not p.keyword_only]
    kept: list[kinds.Kind] = []
    for parameter, kind in zip(
        positional, parameter_kinds(positional, seen, target.docstring, objects), strict=True
    ):
        if kind is None or kind == kinds.TOO_DEEP:
            if parameter.default is None:
                raise NoInput(_missing(parameter))
            break
        kept.append(kind)
    return positional[: len(kept)], tuple(kept)


def _is_guess(target: Target, seen: Sequence[Call], objects: Objects) -> bool:
    """Return True unless examples or annotations of plain data say what every argument is."""
    found = [kinds.of_annotation(parameter.annotation, objects) for parameter in target.parameters]
    return not seen and (
        bool(target.owner) or any(kind is None or kind == kinds.ANY or kinds.is_built(kind) for kind in found)
    )


def _missing(parameter: Parameter) -> str:
    annotation = ast.unparse(parameter.annotation) if parameter.annotation is not None else "?"
    return f"no input could be made for `{parameter.name}: {annotation}`"


def _generated(
    target: Target, seen: Sequence[Call], budget: int, seed: int, objects: Objects
) -> Iterator[tuple[Call, str]]:
    """Yield edge cases, then mutations and typical values in turn.

    Each call comes with its origin. Built arguments are not mutated: a change of the list around them, or of what
    belongs to them, would mostly leave their type. Raises `NoInput`.
    """
    positional, found = fillable(target, seen, objects)
    hints = call_hints(target, seen)
    keywords = _required_keywords(target, objects)
    fixed = {name: generate.edge_cases(kind, hints)[0] for name, kind in keywords.items()}
    if not positional:
        rows = generate.argument_rows(tuple(keywords.values()), hints)
        drawn = generate.draw(tuple(keywords.values()), hints, budget, seed)
        for origin, row in (*(("edge", row) for row in rows), *(("type", row) for row in drawn)):
            yield Call(target.name, kwargs=dict(zip(keywords, row, strict=True))), origin
        return
    edges = list(edge_calls(target.name, found, hints, max(4, budget // 2)))
    for call in edges:
        yield Call(call.function, call.args, fixed), "edge"
    random = Random(seed)  # noqa: S311 - inputs, not secrets
    bases = list(seen) or edges
    typical = (Call(target.name, values) for values in generate.draw(found, hints, budget, seed))
    may_mutate = not any(map(kinds.is_built, found))
    for _ in range(2 * budget):
        if may_mutate:
            base = random.choice(bases)
            yield mutate_call(Call(target.name, base.args, base.kwargs), hints, random), "mutation"
        following = next(typical, None)
        if following is not None:
            yield Call(target.name, following.args, fixed), "type"


def _required_keywords(target: Target, objects: Objects) -> dict[str, kinds.Kind]:
    """Return the kind of each keyword-only parameter without a default; raises `NoInput`."""
    found: dict[str, kinds.Kind] = {}
    for parameter in target.parameters:
        if parameter.keyword_only and parameter.default is None:
            kind = parameter_kind(parameter, (), target.docstring, objects)
            if kind is None or kind == kinds.TOO_DEEP:
                raise NoInput(_missing(parameter))
            found[parameter.name] = kind
    return found


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


def _constructions(target: Target, objects: Objects) -> Iterator[Call]:
    """Yield a few ways to build the object of a method, and more for a method without parameters."""
    hints = generate.Hints()
    for kind in objects.constructions(target):
        if kind.name == "choice":  # a member of an enum: `Level(Level.HIGH)` is `Level.HIGH`
            yield from (Call(target.owner, (member,)) for member in kind.choices[:MOST_CONSTRUCTIONS])
            continue
        called, *names = kind.choices
        rows = generate.argument_rows(kind.parts, hints)
        if target.parameters:
            rows = rows[:MOST_CONSTRUCTIONS]
        else:
            rows += map(list, generate.draw(kind.parts, hints, 12, 0))
        for row in rows:
            pairs = list(zip(row, names, strict=True))
            keywords = {str(name): argument for argument, name in pairs if name}
            yield Call(str(called), tuple(argument for argument, name in pairs if not name), keywords)
