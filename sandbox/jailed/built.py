"""Build arguments that are objects, and compare their state before and after a call.

Built means evaluated from an expression in the program's namespace, which is possible only here. Every call builds its
own arguments, so that no probe sees what another one changed.
"""

from __future__ import annotations

from typing import Any, Tuple

from sandbox.jailed import canonical
from sandbox.jailed.stand_ins import Frozen, Mutated

Packed = Tuple[str, Tuple[str, ...]]
"""The source of (args, kwargs), and the modules that it needs."""


def build(arguments: Packed, namespace: "dict[str, Any]") -> "tuple[Any, Any]":
    """Build fresh (args, kwargs)."""
    names: "dict[str, Any]" = {name: __import__(name) for name in arguments[1]}
    names.update(inf=float("inf"), nan=float("nan"))
    found: "tuple[Any, Any]" = eval(
        compile(arguments[0], "<arguments>", "eval", dont_inherit=True), namespace, names
    )
    return found


def with_changes(result: object, fresh: "tuple[Any, Any]", used: "tuple[Any, Any]", limit: int) -> object:
    """Return the result, together with the arguments that the call changed.

    An unchanged one is written as `...`, because it may be opaque, such as a function.
    """
    args = tuple(_change(*pair, limit) for pair in zip(fresh[0], used[0]))  # noqa: B905 - Python 3.8 lacks `strict`
    kwargs = {name: _change(value, used[1][name], limit) for name, value in fresh[1].items()}
    if all(value is ... for value in (*args, *kwargs.values())):
        return result
    return Mutated(result, args, kwargs)


def _change(before: object, after: object, limit: int) -> object:
    state = canonical.encode(after, limit, True)
    return ... if state == canonical.encode(before, limit, True) else Frozen(state)
