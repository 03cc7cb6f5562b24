"""Describe types of plain data, read from annotations or from values.

A kind is a small description, not a Python type. No annotation is evaluated for it, and examples are enough to
learn it: `[3, 1]` gives a list of integers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """The description of one type.

    `name` is one of int, float, bool, str, bytes, none, list, set, frozenset, tuple, dict, union, choice, any.
    `parts` holds the element (list, set), both key and value (dict), one entry per position (tuple), or the
    alternatives (union). `choices` holds the literals of a choice.
    """

    name: str
    parts: tuple[Kind, ...] = ()
    choices: tuple[object, ...] = ()


INT, FLOAT, BOOL, STR, BYTES, NONE, ANY = (
    Kind(name) for name in ("int", "float", "bool", "str", "bytes", "none", "any")
)

_ATOMS = {"int": INT, "float": FLOAT, "bool": BOOL, "str": STR, "bytes": BYTES, "None": NONE, "Any": ANY}
_ATOMS |= {"object": ANY, "Number": FLOAT, "complex": FLOAT, "AnyStr": STR, "Hashable": ANY}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "Iterator", "Container"}
_SETS = {"set", "Set", "AbstractSet", "MutableSet"}
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "DefaultDict", "OrderedDict"}


def of_annotation(node: ast.expr | None, depth: int = 0) -> Kind | None:
    """Return the kind that an annotation describes.

    None without an annotation, and for types that are not plain data.
    """
    if node is None or depth > 6:
        return None
    if isinstance(node, ast.Constant):
        return _of_constant_annotation(node, depth)
    if isinstance(node, ast.Attribute):
        return of_annotation(ast.Name(node.attr, ast.Load()), depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([of_annotation(node.left, depth + 1), of_annotation(node.right, depth + 1)])
    if isinstance(node, ast.Name):
        return _ATOMS.get(node.id) or _bare_container(node.id)
    if isinstance(node, ast.Subscript):
        return _of_subscript(node, depth)
    return None


def _of_constant_annotation(node: ast.Constant, depth: int) -> Kind | None:
    if node.value is None:
        return NONE
    if isinstance(node.value, str) and len(node.value) < 200:
        try:
            return of_annotation(ast.parse(node.value, mode="eval").body, depth + 1)
        except (SyntaxError, ValueError):
            return None
    return None


def _bare_container(name: str) -> Kind | None:
    """Return the kind of a container named without its element.

    The element stays open (`any`).
    """
    if name in _LISTS:
        return Kind("list", (ANY,))
    if name in _SETS:
        return Kind("set", (ANY,))
    if name in ("frozenset", "FrozenSet"):
        return Kind("frozenset", (ANY,))
    if name in _DICTS:
        return Kind("dict", (ANY, ANY))
    if name in ("tuple", "Tuple"):
        return Kind("tuple", (ANY, ANY))
    return None


def _of_subscript(node: ast.Subscript, depth: int) -> Kind | None:
    base = node.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        values = tuple(item.value for item in inner if isinstance(item, ast.Constant))
        return Kind("choice", choices=values) if values else None
    if name == "Optional":
        return _union([of_annotation(inner[0], depth + 1), NONE])
    if name == "Union":
        return _union([of_annotation(item, depth + 1) for item in inner])
    if name in ("Annotated", "Final", "Required", "NotRequired"):
        return of_annotation(inner[0], depth + 1)
    variadic = len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis
    parts = [of_annotation(item, depth + 1) or ANY for item in (inner[:1] if variadic else inner)]
    if name in ("tuple", "Tuple"):
        return Kind("tuple", (parts[0],) * 3) if variadic else Kind("tuple", tuple(parts))
    bare = _bare_container(name)
    if bare is None:
        return None
    wanted = len(bare.parts)
    return Kind(bare.name, tuple((parts + [ANY] * wanted)[:wanted]))


def _union(alternatives: Iterable[Kind | None]) -> Kind | None:
    flat: list[Kind] = []
    for item in alternatives:
        if item is None:
            continue
        flat += [part for part in (item.parts if item.name == "union" else (item,)) if part not in flat]
    if not flat:
        return None
    return flat[0] if len(flat) == 1 else Kind("union", tuple(flat[:6]))


def of_value(value: object, depth: int = 0) -> Kind | None:
    """Return the kind of one value; None unless it is plain data."""
    if depth > 5:
        return ANY
    if isinstance(value, bool):
        return BOOL
    for atom, python_type in ((INT, int), (FLOAT, float), (STR, str), (BYTES, bytes)):
        if isinstance(value, python_type):
            return atom
    if value is None:
        return NONE
    if isinstance(value, list | set | frozenset):
        element = merge(of_value(item, depth + 1) for item in list(value)[:20])
        return Kind(type(value).__name__, (element or ANY,))
    if isinstance(value, tuple):
        return Kind("tuple", tuple(of_value(item, depth + 1) or ANY for item in value[:8]))
    if isinstance(value, dict):
        items = list(value.items())[:20]
        key = merge(of_value(k, depth + 1) for k, _ in items)
        return Kind("dict", (key or ANY, merge(of_value(v, depth + 1) for _, v in items) or ANY))
    return None


def merge(kinds: Iterable[Kind | None]) -> Kind | None:
    """Return the narrowest kind that covers all `kinds`.

    Int and float give float, two lists one list.
    """
    result: Kind | None = None
    for kind in kinds:
        if kind is not None:
            result = kind if result is None else _merge_two(result, kind)
    return result


def _merge_two(a: Kind, b: Kind) -> Kind:
    if a == b or b == ANY:
        return a
    if a == ANY:
        return b
    if {a.name, b.name} == {"int", "float"}:
        return FLOAT
    if a.name == b.name and a.parts and len(a.parts) == len(b.parts) and a.name != "union":
        return Kind(a.name, tuple(_merge_two(x, y) for x, y in zip(a.parts, b.parts, strict=True)))
    return _union([a, b]) or ANY
