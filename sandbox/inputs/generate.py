"""Values of a kind: small edge cases first, then typical ones drawn through Hypothesis strategies.

Typical means what a caller would pass: small numbers, short lists, words made of the characters that the
examples and the docstring use. Extreme values mostly leave the specification, where
correct programs disagree.
"""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.inputs.kinds import ANY, INT, STR, Kind

WORDS = ("hello", "world", "Python", "abc", "racecar", "The quick brown fox", "aAbB", "test case", "xyz")


@dataclass(frozen=True, slots=True)
class Hints:
    """What the examples and the docstring say about plausible values."""

    strings: tuple[str, ...] = ()
    """Whole strings seen."""
    alphabet: str = ""
    """Characters of those strings; empty when nothing was seen."""
    numbers: tuple[int | float, ...] = ()

    @property
    def characters(self) -> str:
        return self.alphabet or string.ascii_lowercase[:6] + "AB z"

    @property
    def reach(self) -> int:
        """How large typical integers get: what most of those seen stay below."""
        seen = sorted(abs(int(n)) for n in self.numbers if abs(n) < 1e9)
        return min(max(12, seen[len(seen) * 3 // 4] if seen else 0), 200)

    @property
    def negative(self) -> bool:
        return not self.numbers or any(n < 0 for n in self.numbers)


def hints_of(values: Iterable[object]) -> Hints:
    """Collect strings and numbers out of nested values (bounded)."""
    strings: dict[str, None] = {}
    numbers: dict[int | float, None] = {}
    pending = list(itertools.islice(values, 400))
    for _ in range(5_000):
        if not pending:
            break
        item = pending.pop()
        if isinstance(item, str):
            strings[item[:200]] = None
        elif isinstance(item, int | float) and not isinstance(item, bool):
            numbers[item] = None
        elif isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            pending += list(item)
    alphabet = "".join(sorted(set("".join(strings))))[:64]
    return Hints(tuple(sorted(strings)[:64]), alphabet, tuple(sorted(numbers, key=repr)[:200]))


def edge_cases(kind: Kind, hints: Hints, depth: int = 0) -> list[object]:
    """Small and boundary values of `kind`, most ordinary first."""
    if depth > 3:
        return [None]
    match kind.name:
        case "int":
            return (
                [2, 1, 0, 5, 3, 10, 7, 12, -1, 4, 100]
                if hints.negative
                else [2, 1, 0, 5, 3, 10, 7, 12, 4, 100]
            )
        case "float":
            return [1.5, 0.0, 2.0, 1.0, 0.5, 3.25, -1.5, 10.0]
        case "bool":
            return [True, False]
        case "str":
            characters = hints.characters
            made = [characters[:3], "", characters[:1], characters[:2] * 2, characters[::-1][:4]]
            return list(dict.fromkeys([*hints.strings[:6], *made, *(WORDS if not hints.alphabet else ())]))
        case "bytes":
            return [b"abc", b"", b"a"]
        case "none":
            return [None]
        case "choice":
            return list(kind.choices)
        case "union":
            lists = [edge_cases(part, hints, depth + 1) for part in kind.parts]
            return [v for group in itertools.zip_longest(*lists) for v in group if v is not None] + [None] * (
                Kind("none") in kind.parts
            )
        case "any":
            return [1, "a", [1, 2], None, 2.5]
        case _:
            return _container_edges(kind, hints, depth)


def _container_edges(kind: Kind, hints: Hints, depth: int) -> list[object]:
    parts = [edge_cases(part, hints, depth + 1) or [None] for part in (kind.parts or (ANY,))]
    first = parts[0]
    if kind.name == "tuple":
        longest = max(map(len, parts)) if kind.parts else 1
        return [tuple(p[i % len(p)] for p in parts if kind.parts) for i in range(min(longest, 8))]
    if kind.name == "dict":
        values = parts[1] if len(parts) > 1 else [1]
        keys = [key for key in first if not isinstance(key, list | dict | set)] or ["a"]
        pairs = [(k, values[i % len(values)]) for i, k in enumerate(keys)]
        return [dict(pairs[:2]), {}, dict(pairs[:1]), dict(pairs[:4]), dict(pairs[1:4])]
    cycle = list(itertools.islice(itertools.cycle(first), 12))
    made = [
        cycle[:3],
        [],
        cycle[:1],
        cycle[:2],
        [cycle[0]] * 2,
        cycle[:5][::-1],
        cycle[2:7],
        cycle[:2] + cycle[:2],
    ]
    if kind.name == "list":
        return list(made)
    hashable = [[item for item in items if not isinstance(item, list | dict | set)] for items in made]
    return [frozenset(items) if kind.name == "frozenset" else set(items) for items in hashable]


def strategy(kind: Kind, hints: Hints, depth: int = 0) -> Any:
    """A Hypothesis strategy for typical values of `kind`. Hypothesis is imported here, on first use."""
    from hypothesis import strategies as st

    inner = functools.partial(strategy, hints=hints, depth=depth + 1)
    reach = hints.reach
    match kind.name:
        case "int":
            return st.integers(-reach if hints.negative else 0, reach)
        case "float":
            return st.integers(-4 * reach if hints.negative else 0, 4 * reach).map(lambda n: n / 4)
        case "bool":
            return st.booleans()
        case "str":
            text = st.lists(st.sampled_from(hints.characters), max_size=8).map("".join)
            known = st.sampled_from(hints.strings or WORDS)
            return st.one_of(text, known, st.tuples(known, text).map("".join)) if depth < 3 else known
        case "bytes":
            return st.lists(st.integers(0, 127), max_size=6).map(bytes)
        case "none":
            return st.none()
        case "choice":
            return st.sampled_from(kind.choices)
        case "union":
            return st.one_of(*(inner(part) for part in kind.parts))
        case "any":
            return st.one_of(st.integers(-5, 20), st.sampled_from(WORDS))
        case _:
            return _container_strategy(kind, inner, 6 if depth == 0 else 4)


def _container_strategy(kind: Kind, inner: Callable[[Kind], Any], longest: int) -> Any:
    from hypothesis import strategies as st

    match kind.name:
        case "list":
            return st.lists(inner(kind.parts[0]), max_size=longest)
        case "set" | "frozenset":
            element = inner(kind.parts[0] if kind.parts[0].name in _HASHABLE else INT)
            made = st.lists(element, max_size=longest)
            return made.map(frozenset) if kind.name == "frozenset" else made.map(set)
        case "tuple":
            return st.tuples(*(inner(part) for part in kind.parts))
        case "dict":
            key = inner(kind.parts[0] if kind.parts[0].name in _HASHABLE else STR)
            return st.dictionaries(key, inner(kind.parts[1]), max_size=4)
        case _:
            raise ValueError(f"no strategy for the kind {kind.name!r}")


_HASHABLE = {"int", "float", "bool", "str", "bytes", "none", "choice"}


def draw(kinds: tuple[Kind, ...], hints: Hints, count: int, seed: int) -> Iterator[tuple[object, ...]]:
    """`count` argument tuples through Hypothesis: the same ones for the same seed."""
    if count <= 0 or not kinds:
        return
    import hypothesis
    from hypothesis import strategies as st

    from sandbox.inputs.provider import BACKEND, seeded

    drawn: list[tuple[object, ...]] = []

    # Not a test: Hypothesis is used as a generator here, so a value can never "fail" and nothing is shrunk.
    @hypothesis.settings(
        backend=BACKEND,
        database=None,
        deadline=None,
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(st.tuples(*(strategy(kind, hints) for kind in kinds)))
    def collect(values: tuple[object, ...]) -> None:
        drawn.append(values)

    with seeded(seed):
        collect()
    yield from drawn[:count]
