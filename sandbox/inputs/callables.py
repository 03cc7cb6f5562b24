"""Make small functions of a given signature, to pass as arguments.

They are lambdas of plain operators, so that a person reads at once what a call does. Where nothing fits the types, a
function ignores its arguments and returns a value of the right type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sandbox.inputs.kinds import ANY, INT, NONE, Kind
from sandbox.program import Built

_ONE: dict[tuple[str, str], tuple[str, ...]] = {
    ("number", "number"): ("x + 1", "2 * x", "x * x", "-x"),
    ("number", "bool"): ("x > 1", "x % 2 == 0", "x < 0"),
    ("number", "text"): ("str(x)", "'#' + str(x)"),
    ("text", "text"): ("x + '!'", "x.upper()", "x[::-1]"),
    ("text", "bool"): ("len(x) > 1", "x == x.lower()", "x.startswith('a')"),
    ("text", "number"): ("len(x)", "x.count('a')"),
    ("list", "number"): ("len(x)",),
    ("list", "bool"): ("len(x) > 1", "not x"),
    ("list", "list"): ("x[::-1]", "x + x", "x[1:]"),
    ("bool", "bool"): ("not x", "x"),
    ("any", "any"): ("x", "[x]"),
    ("any", "bool"): ("bool(x)", "len(str(x)) > 1", "not x"),
    ("any", "number"): ("len(str(x))",),
    ("any", "text"): ("str(x)", "'#' + str(x)"),
}
_TWO: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("number", "number", "number"): ("a + b", "a - b", "a * b", "max(a, b)"),
    ("number", "number", "bool"): ("a < b", "a == b", "a > b"),
    ("text", "text", "text"): ("a + b", "b + a"),
    ("text", "text", "bool"): ("a == b", "a < b", "len(a) > len(b)"),
    ("text", "text", "number"): ("len(a) - len(b)", "(a > b) - (a < b)"),
    ("number", "text", "number"): ("a + len(b)",),
    ("list", "list", "list"): ("a + b",),
    ("any", "any", "any"): ("a", "b", "a + b"),
    ("any", "any", "bool"): ("a == b", "a != b"),
    ("any", "any", "number"): ("(a > b) - (a < b)",),
}
_OPEN = ("len(args)", "args[0] if args else 0", "sum(args)")
"""Functions of any number of arguments, where the annotation leaves it open."""
_LETTERS = "abcdefgh"
_GROUPS = {"int": "number", "float": "number", "str": "text", "bool": "bool", "list": "list", "any": "any"}


def kind_of_callable(
    arguments: Sequence[Kind] | None, returns: Kind, attributes: Mapping[str, Kind] | None = None
) -> Kind:
    """Return the kind of functions with these arguments (None: of any number) and this result.

    `attributes` are those of a single argument that is an object.
    """
    start = f"lambda {_names(arguments)}".rstrip() + ": "
    bodies = [*_of_attributes(attributes or {}, returns), *_bodies(arguments, returns)]
    if arguments is None and returns == ANY:
        bodies = list(_OPEN)
    choices = Kind("choice", choices=tuple(Built(start + body) for body in dict.fromkeys(bodies)))
    if len(bodies) > 1 or (bodies and returns == NONE):
        return choices
    constant = Kind("text", (INT if returns == ANY else returns,), (Built(start), ""))
    return Kind("union", (choices, constant)) if bodies else constant


def _names(arguments: Sequence[Kind] | None) -> str:
    if arguments is None:
        return "*args"
    letters = _LETTERS[: len(arguments)] if len(arguments) != 1 else "x"
    return ", ".join(letters) if len(arguments) <= len(_LETTERS) else "*args"


def _of_attributes(attributes: Mapping[str, Kind], returns: Kind) -> list[str]:
    """Return expressions over the attributes of `x`, at most two for each attribute."""
    result = _GROUPS.get(returns.name, "other")
    found: list[str] = []
    for name, kind in attributes.items():
        bodies = _ONE.get((_GROUPS.get(kind.name, "other"), result), ())
        same = ["x"] if kind == returns or returns == ANY else []
        found += [re.sub(r"\bx\b", f"x.{name}", body) for body in [*same, *bodies][:2]]
    return found[:6]


def _printed(arguments: Sequence[Kind] | None) -> list[str]:
    """Return what shows the arguments; the text of an object may hold its address."""
    if arguments is None or len(arguments) > len(_LETTERS):
        return ["len(args)"]
    pairs = zip(_names(arguments).split(", "), arguments, strict=False)
    return [name if kind.name in _GROUPS else f"type({name}).__name__" for name, kind in pairs]


def _bodies(arguments: Sequence[Kind] | None, returns: Kind) -> list[str]:
    """Return expressions over the arguments that have the wanted type."""
    if returns == NONE:
        return [f"print({', '.join(_printed(arguments))})"]
    if arguments is None:
        return ["len(args)"] if returns.name == "int" else []
    groups = tuple(_GROUPS.get(kind.name, "other") for kind in arguments)
    result = _GROUPS.get(returns.name, "other")
    if len(groups) == 1:
        if arguments[0].name == "float" and returns.name == "int":
            return ["int(x)", "round(x)"]
        found = list(_ONE.get((groups[0], result), ()))
        return found or (["x"] if arguments[0] == returns else [])
    if len(groups) == 2:
        found = list(_TWO.get((groups[0], groups[1], result), ()))
        if not found and arguments[0] == arguments[1] and result == "bool":
            found = ["a == b", "a != b"]
        if not found and groups[0] == result == "list":
            found = ["a + [b]"]
        return found or [name for name, kind in zip("ab", arguments, strict=True) if kind == returns]
    if set(groups) == {"number"} and result == "number" and len(groups) <= len(_LETTERS):
        return [" + ".join(_LETTERS[: len(groups)]), " - ".join(_LETTERS[: len(groups)])]
    return []
