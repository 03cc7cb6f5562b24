"""Restores the types of MBPP+ inputs that JSON lost.

These are tuples, sets and complex numbers.

EvalPlus keeps a table of task numbers for this. Here the types come from the task's own asserts, which are Python: the
value in the same place of an assert's call shows whether a list is a tuple or a set. Keys of dicts stay text, as in
EvalPlus, since many added inputs have keys that are not numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from sandbox.inputs.target import parse_quietly


def typed_inputs(
    function: str, assertion: str, base: Sequence[Sequence[object]], plus: Sequence[Sequence[object]]
) -> list[list[object]]:
    """Cast the arguments of every input, base then plus, by the calls in `assertion`."""
    calls = _calls(assertion, function)
    if any(isinstance(value, complex) for call in calls for value in call):
        # JSON has no complex numbers: the file writes every number of such a task as text.
        return [
            [complex(value) if isinstance(value, str) else value for value in row] for row in (*base, *plus)
        ]
    result = []
    for arguments in (*base, *plus):
        places = [[call[i] for call in calls if len(call) > i] for i in range(len(arguments))]
        result.append([_cast(value, shown) for value, shown in zip(arguments, places, strict=True)])
    return result


def _calls(assertion: str, function: str) -> list[list[object]]:
    """Collect the literal arguments of every call of `function` in the asserts."""
    tree = parse_quietly(assertion)
    calls = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            try:
                calls.append([ast.literal_eval(argument) for argument in node.args])
            except ValueError:
                continue  # a computed argument shows no type
    return calls


def _cast(value: object, shown: Sequence[object]) -> object:
    """Cast `value` from JSON to the types of the values `shown` in its place."""
    kinds = {type(example) for example in shown}
    if isinstance(value, dict):
        return _cast_dict(value, [example for example in shown if isinstance(example, dict)])
    if not isinstance(value, list):
        return value
    sequences = [list(example) for example in shown if isinstance(example, list | tuple | set | frozenset)]
    everything = [item for example in sequences for item in example]
    items = []
    for index, item in enumerate(value):
        same_place = [example[index] for example in sequences if len(example) > index]
        same_kind = [e for e in same_place if _alike(e, item)] or [e for e in everything if _alike(e, item)]
        items.append(_cast(item, same_kind))
    if tuple in kinds and list not in kinds:
        return tuple(items)
    if kinds & {set, frozenset} and list not in kinds:
        return set(items)
    return items


def _cast_dict(value: dict[str, object], shown: Sequence[dict[object, object]]) -> dict[object, object]:
    values = [item for example in shown for item in example.values()]
    return {key: _cast(item, [v for v in values if _alike(v, item)]) for key, item in value.items()}


def _alike(example: object, value: object) -> bool:
    """Return whether JSON writes both as a list, a dict, or neither."""
    if isinstance(value, list):
        return isinstance(example, list | tuple | set | frozenset)
    if isinstance(value, dict):
        return isinstance(example, dict)
    return not isinstance(example, list | tuple | set | frozenset | dict)
