"""Mutate known inputs: neighbours of a plausible input are mostly plausible.

Each mutation is one small change to one argument. So kinds mostly survive, and so do relations between
arguments, such as a list and an index into it.
"""

from __future__ import annotations

import copy
from random import Random

from sandbox.inputs.generate import Hints
from sandbox.program import Call

MAX_INT = 10**6


def mutate_call(call: Call, hints: Hints, random: Random) -> Call:
    """Return a copy of `call` with one argument changed a little."""
    positions: list[int | str] = [*range(len(call.args)), *sorted(call.kwargs)]
    if not positions:
        return call
    chosen = random.choice(positions)
    args, kwargs = list(copy.deepcopy(call.args)), copy.deepcopy(call.kwargs)
    if isinstance(chosen, int):
        args[chosen] = mutate(args[chosen], hints, random)
    else:
        kwargs[chosen] = mutate(kwargs[chosen], hints, random)
    return Call(call.function, tuple(args), kwargs)


def mutate(value: object, hints: Hints, random: Random, depth: int = 0) -> object:
    """Return a value of the same kind, one small step away.

    `value` itself is not changed.
    """
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return _mutate_int(value, hints, random)
    if isinstance(value, float):
        if value != value or abs(value) > MAX_INT:
            return 1.0
        return random.choice(
            [value + 1, value - 1, value * 2, -value if hints.negative else value + 3, value + 0.5]
        )
    if isinstance(value, str):
        return _mutate_text(value, hints, random)
    if isinstance(value, list | tuple):
        items = _mutate_items(list(value), hints, random, depth)
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, set | frozenset):
        items = _mutate_items(sorted(value, key=repr), hints, random, depth)
        hashable = [item for item in items if not isinstance(item, list | dict | set)]
        return type(value)(hashable)
    if isinstance(value, dict):
        return _mutate_dict(value, hints, random, depth)
    return value


def _mutate_int(value: int, hints: Hints, random: Random) -> int:
    if abs(value) > MAX_INT:
        return value + random.choice([-1, 1])
    options = [value + 1, value + 2, value * 2, max(value - 1, 0) if not hints.negative else value - 1]
    options += [value + 10, value * 10 + random.randint(0, 9), random.randint(0, max(12, abs(value)))]
    if hints.negative:
        options.append(-value)
    return random.choice(options)


def _mutate_text(value: str, hints: Hints, random: Random) -> str:
    if not value:
        return "".join(random.choice(hints.characters) for _ in range(random.randint(1, 5)))
    position = random.randrange(len(value))
    character = random.choice(hints.characters + value)
    match random.randrange(8):
        case 0:
            return value[:position] + character + value[position:]
        case 1:
            return value[:position] + value[position + 1 :]
        case 2:
            return value[:position] + character + value[position + 1 :]
        case 3:
            return value + value[::-1] if len(value) < 40 else value[::-1]
        case 4:
            return value.swapcase()
        case 5:
            return value + character
        case 6:
            words = value.split(" ")
            random.shuffle(words)
            return " ".join(words) if len(words) > 1 else value[position:] + value[:position]
        case _:
            return random.choice(hints.strings or (value,)) + (value if random.random() < 0.3 else "")


def _mutate_items(items: list[object], hints: Hints, random: Random, depth: int) -> list[object]:
    items = copy.deepcopy(items)
    if not items:
        filler = random.choice(hints.numbers) if hints.numbers else 1
        return [filler] if depth == 0 else items
    position = random.randrange(len(items))
    match random.randrange(8):
        case 0 if len(items) < 40:
            items.insert(position, copy.deepcopy(items[random.randrange(len(items))]))
        case 1:
            items.pop(position)
        case 2:
            items.reverse()
        case 3:
            random.shuffle(items)
        case 4 if len(items) < 40:
            items.append(mutate(items[position], hints, random, depth + 1))
        case 5:
            items = items[: position + 1]
        case _:
            items[position] = (
                mutate(items[position], hints, random, depth + 1) if depth < 4 else items[position]
            )
    return items


def _mutate_dict(
    value: dict[object, object], hints: Hints, random: Random, depth: int
) -> dict[object, object]:
    result = copy.deepcopy(value)
    if not result or depth > 4:
        return result
    key = random.choice(list(result))
    match random.randrange(4):
        case 0:
            del result[key]
        case 1:
            fresh = mutate(key, hints, random, depth + 1)
            result[fresh] = copy.deepcopy(result[key])
        case _:
            result[key] = mutate(result[key], hints, random, depth + 1)
    return result
