"""Generate values of a kind: edge cases and typical values.

Typical means what a caller would pass: small numbers, short lists, words made of the characters that the
examples and the docstring use. Extreme values mostly leave the specification, where correct programs disagree.

The distribution, and why:

* Lists are short: 0 to 6 elements at the top, 0 to 4 inside, about half of that on average. A program that is
  wrong on a long list is usually wrong on a short one. Short inputs keep a run of 300 probes cheap.
* Integers are uniform within what the examples reach, at least up to 12. A range of more than 127 steps gives
  its two lowest and its two highest values only; the published figures were measured with this limitation.
* Strings are, with equal chances, random characters, a known string, or a known string and random characters.
* The first value is the smallest one: zero, empty, the first choice. Programs often differ there.

Every draw comes from one `random.Random(seed)`: the probes must be the same in every process. The published
replay figures (docs/results.md) hold for these draws exactly, and a test freezes them.
"""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from sandbox.inputs.kinds import ANY, INT, STR, Kind
from sandbox.program import Built

WORDS = ("hello", "world", "Python", "abc", "racecar", "The quick brown fox", "aAbB", "test case", "xyz")


@dataclass(frozen=True, slots=True)
class Hints:
    """Plausible values, collected from the examples and the docstring."""

    strings: tuple[str, ...] = ()
    """Whole strings seen."""
    alphabet: str = ""
    """Characters of those strings; empty when nothing was seen."""
    numbers: tuple[int | float, ...] = ()

    @property
    def characters(self) -> str:
        """The characters of generated strings, never empty."""
        return self.alphabet or string.ascii_lowercase[:6] + "AB z"

    @property
    def reach(self) -> int:
        """The largest absolute value of typical integers.

        About three in four of the numbers seen do not exceed it.
        """
        seen = sorted(abs(int(n)) for n in self.numbers if abs(n) < 1e9)
        return min(max(12, seen[len(seen) * 3 // 4] if seen else 0), 200)

    @property
    def negative(self) -> bool:
        """Whether negative numbers were seen, or no numbers at all."""
        return not self.numbers or any(n < 0 for n in self.numbers)

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest typical integer."""
        return (-self.reach if self.negative else 0), self.reach


def hints_of(values: Iterable[object]) -> Hints:
    """Collect strings and numbers out of nested values (at most 5000)."""
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
    """Return small and boundary values of `kind`, most ordinary first."""
    if kind.name in ("object", "text"):
        return _object_edges(kind, hints) if depth <= 3 else [smallest(kind, hints, depth)]
    if depth > 3 and kind.name != "choice":
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


def _object_edges(kind: Kind, hints: Hints) -> list[object]:
    return list(dict.fromkeys(build(kind, row) for row in argument_rows(kind.parts, hints)))


def argument_rows(parts: Sequence[Kind], hints: Hints) -> list[list[object]]:
    """Return the arguments of up to 8 objects; arguments of one kind differ from one another within an object."""
    columns = [edge_cases(part, hints) or [None] for part in parts]
    shifts = [parts[:at].count(part) for at, part in enumerate(parts)]
    longest = min(max(map(len, columns), default=1), 8)
    shifted = list(zip(columns, shifts, strict=True))
    return [[column[(row + shift) % len(column)] for column, shift in shifted] for row in range(longest)]


def build(kind: Kind, values: Sequence[object]) -> Built:
    """Write the expression that makes an object of `kind` from the values of its parts."""
    called, *rest = kind.choices
    assert isinstance(called, Built), "the first choice of an object or a text is what it begins with"
    if kind.name == "object":
        pairs = zip(rest, values, strict=True)
        text = ", ".join(f"{name}={value!r}" if name else repr(value) for name, value in pairs)
        text = f"{called.text}({text})"
    else:
        text = called.text + "".join(f"{value!r}{after}" for value, after in zip(values, rest, strict=True))
    modules = {module for value in values for module in _modules(value)}
    return Built(text, tuple(sorted({*called.modules, *modules})))


def _modules(value: object) -> Iterator[str]:
    """Yield the modules that the parts of a value need."""
    if isinstance(value, Built):
        yield from value.modules
    elif isinstance(value, list | tuple | set | frozenset | dict):
        for item in value:
            yield from _modules(item)
        if isinstance(value, dict):
            yield from _modules(list(value.values()))


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
    return [_set_of(kind, items) for items in hashable]


def _set_of(kind: Kind, items: Iterable[object]) -> object:
    """Return the set, or its expression where it holds built items: their order must not depend on hashes."""
    unique = list(dict.fromkeys(items))
    if any(isinstance(item, Built) for item in unique):
        text = "{" + ", ".join(map(repr, unique)) + "}"
        text = f"frozenset({text})" if kind.name == "frozenset" else text
        return Built(text, tuple(sorted(set(_modules(unique)))))
    return frozenset(unique) if kind.name == "frozenset" else set(unique)


T = TypeVar("T")
Form = Callable[[Random], object]
"""Draws one value of one form, such as a known string."""

_MORE = {1: 0.5, 2: 79 / 128, 3: 0.690625, 4: 71 / 96, 6: 823 / 1024, 8: 0.84296875}
"""Chance of one more element, by the greatest length. The mean length is then about half of the greatest."""
_LONGEST_TEXT, _LONGEST_BYTES, _LONGEST_DICT, _LONGEST_LIST, _LONGEST_INNER_LIST = 8, 6, 4, 6, 4
_KNOWN_TEXT_DEPTH = 3
"""Strings nested as deep as this are known ones only."""
_WIDE = 127
"""A range of more steps than this gives its ends only (see the module's docstring)."""
_FEW_KEYS = 255
"""Integer keys from a range of up to this many steps are drawn without repetition."""
_HASHABLE = {"int", "float", "bool", "str", "bytes", "none", "choice", "object", "text"}


def draw(kinds: tuple[Kind, ...], hints: Hints, count: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield `count` argument tuples, first the smallest one.

    The same seed gives the same tuples.
    """
    if count <= 0 or not kinds:
        return
    random = Random(seed)  # noqa: S311 - inputs, not secrets
    yield tuple(smallest(kind, hints) for kind in kinds)
    for _ in range(count - 1):
        yield tuple(typical(kind, hints, random) for kind in kinds)


def smallest(kind: Kind, hints: Hints, depth: int = 0) -> object:
    """Return the simplest value of `kind`: zero, empty, or the first choice."""
    match kind.name:
        case "int" | "any":
            return 0
        case "float":
            return 0.0
        case "bool":
            return False
        case "none":
            return None
        case "str":
            return "" if depth < _KNOWN_TEXT_DEPTH else _known_strings(hints)[0]
        case "choice":
            return kind.choices[0]
        case "object" | "text":
            return build(kind, [smallest(part, hints, depth + 1) for part in kind.parts])
        case "union":
            return smallest(kind.parts[0], hints, depth + 1)
        case "tuple":
            return tuple(smallest(part, hints, depth + 1) for part in kind.parts)
        case _:
            return _EMPTY[kind.name]()


_EMPTY: dict[str, Callable[[], object]] = {
    "bytes": bytes, "list": list, "set": set, "frozenset": frozenset, "dict": dict,
}  # fmt: skip


def typical(kind: Kind, hints: Hints, random: Random, depth: int = 0) -> object:
    """Draw one value of `kind` such as a caller would pass."""
    forms = _forms(kind, hints, depth)
    return _one_of(forms, random)(random)


def _forms(kind: Kind, hints: Hints, depth: int) -> list[Form]:
    """Return the forms of a kind's values, all equally likely.

    A union has the forms of all its parts.
    """
    known = _known_strings(hints)
    match kind.name:
        case "union":
            alternatives = dict.fromkeys(kind.parts)  # equal ones count once: `Union[Any, int]` is filled in
            return [form for part in alternatives for form in _forms(part, hints, depth + 1)]
        case "any":
            return [lambda random: _integer(-5, 20, random), lambda random: _one_of(WORDS, random)]
        case "str" if depth < _KNOWN_TEXT_DEPTH:
            return [
                lambda random: _text(hints, random),
                lambda random: _one_of(known, random),
                lambda random: _one_of(known, random) + _text(hints, random),
            ]
        case "str":
            return [lambda random: _one_of(known, random)]
        case "bool":
            return [lambda random: random.random() < 0.5]
        case "none":
            return [lambda random: None]
        case "choice":
            return [lambda random: _one_of(kind.choices, random)]
        case "int":
            low, high = hints.range
            return [lambda random: _integer(low, high, random)]
        case "float":
            low, high = hints.range
            return [lambda random: _integer(4 * low, 4 * high, random) / 4]
        case "object" | "text":
            return [lambda random: build(kind, [typical(p, hints, random, depth + 1) for p in kind.parts])]
        case "bytes":
            byte = functools.partial(_integer, 0, 127)
            return [lambda random: bytes(_items(_LONGEST_BYTES, byte, random))]
        case _:
            return [lambda random: _container(kind, hints, random, depth)]


def _known_strings(hints: Hints) -> tuple[str, ...]:
    return hints.strings or WORDS


def _one_of(values: Sequence[T], random: Random) -> T:
    """Draw one of the values; a single value needs no draw."""
    return values[0] if len(values) == 1 else random.choice(values)


def _integer(low: int, high: int, random: Random) -> int:
    """Draw an integer in [low, high].

    A wide range gives one of its ends or their neighbours.
    """
    if high - low > _WIDE:
        return random.choices((low, low + 1, high - 1, high), (2, 1, 1, 2))[0]
    return random.randint(low, high)


def _items(longest: int, element: Callable[[Random], T], random: Random) -> list[T]:
    """Draw up to `longest` elements."""
    items: list[T] = []
    while len(items) < longest and random.random() < _MORE[longest]:
        items.append(element(random))
    return items


def _text(hints: Hints, random: Random) -> str:
    return "".join(_items(_LONGEST_TEXT, lambda random: _one_of(hints.characters, random), random))


def _container(kind: Kind, hints: Hints, random: Random, depth: int) -> object:
    def inner(part: Kind) -> Form:
        return lambda random: typical(part, hints, random, depth + 1)

    longest = _LONGEST_LIST if depth == 0 else _LONGEST_INNER_LIST
    match kind.name:
        case "list":
            return _items(longest, inner(kind.parts[0]), random)
        case "set" | "frozenset":
            element = kind.parts[0] if kind.parts[0].name in _HASHABLE else INT
            items = _items(longest, inner(element), random)
            return _set_of(kind, items)
        case "tuple":
            return tuple(inner(part)(random) for part in kind.parts)
        case "dict":
            key = kind.parts[0] if kind.parts[0].name in _HASHABLE else STR
            pool = _key_pool(key, hints, depth + 1)
            return _dictionary(pool, inner(key), inner(kind.parts[1]), random)
        case _:
            raise ValueError(f"no values for the kind {kind.name!r}")


def _key_pool(key: Kind, hints: Hints, depth: int) -> list[object] | None:
    """Return all keys of a kind that has few, simplest first.

    None for a kind that has many.
    """
    low, high = hints.range
    if key.name == "int" and high - low <= _FEW_KEYS:
        return [*range(high + 1), *range(-1, low - 1, -1)]
    if key.name == "str" and depth >= _KNOWN_TEXT_DEPTH:
        return list(_known_strings(hints))
    if key.name == "choice":
        return list(key.choices)
    return [None] if key.name == "none" else None


def _dictionary(pool: list[object] | None, key: Form, value: Form, random: Random) -> dict[object, object]:
    """Draw distinct keys out of `pool`, or from `key` without one.

    Many repeated keys end the draw early.
    """
    longest = _LONGEST_DICT if pool is None else min(_LONGEST_DICT, len(pool))
    tries = 3 if pool is None else 1
    found: dict[object, object] = {}
    repeated = 0
    while len(found) < longest and pool != [] and repeated <= max(3, 2 * len(found)):
        if random.random() >= _MORE[longest]:
            break
        for _ in range(tries):
            drawn = key(random) if pool is None else pool.pop(random.randrange(len(pool)))
            if drawn not in found:
                found[drawn] = value(random)
                break
        else:
            repeated += 1
    return found
