"""Describe types of arguments, read from annotations or from values.

A kind is a small description, not a Python type. No annotation is evaluated for it, and examples are enough to
learn it: `[3, 1]` gives a list of integers. Types that are not plain data need the document (`sandbox.inputs.objects`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sandbox.program import Built


@dataclass(frozen=True, slots=True)
class Kind:
    """The description of one type.

    `name` is one of int, float, bool, str, bytes, none, list, set, frozenset, tuple, dict, union, choice, any, object,
    text. `parts` holds the element (list, set), both key and value (dict), one entry per position (tuple), the
    alternatives (union), or the arguments of what the jail builds (object, text). `choices` holds

    * choice: the values, plain data or `Built`;
    * object: a `Built` that is called, then one name per argument, empty for a positional one;
    * text: a `Built` before the first part, then one string after each part.
    """

    name: str
    parts: tuple[Kind, ...] = ()
    choices: tuple[object, ...] = ()


INT, FLOAT, BOOL, STR, BYTES, NONE, ANY = (
    Kind(name) for name in ("int", "float", "bool", "str", "bytes", "none", "any")
)

TOO_DEEP = Kind("too deep")
"""A class inside itself, too often to be built; an optional one is None then, and a list of them is empty."""

Others = Callable[[ast.expr, Callable[[ast.expr], "Kind | None"]], "Kind | None"]
"""Reads annotations that this module does not; given the annotation, and a reader of the annotations inside it.

None leaves the annotation to this module, `UNKNOWN` means that nobody can read it.
"""
UNKNOWN = Kind("unknown")

_ATOMS = {"int": INT, "float": FLOAT, "bool": BOOL, "str": STR, "bytes": BYTES, "None": NONE, "Any": ANY}
_ATOMS |= {"object": ANY, "Number": FLOAT, "complex": FLOAT, "AnyStr": STR, "Hashable": ANY}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "Iterator", "Container"}
_SETS = {"set", "Set", "AbstractSet", "MutableSet"}
_EMPTY_TEXT = {"list": "[]", "set": "set()", "frozenset": "frozenset()", "dict": "{}"}
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "DefaultDict", "OrderedDict"}


def of_annotation(node: ast.expr | None, others: Others | None = None, depth: int = 0) -> Kind | None:
    """Return the kind that an annotation describes.

    None without an annotation, and for types that are not plain data and that `others` do not read either. With
    `others` a container of such a type is None too; without, its element is open (`any`).
    """
    if node is None or depth > MAX_ANNOTATION_DEPTH:
        return None

    def inner(part: ast.expr) -> Kind | None:
        return of_annotation(part, others, depth + 1)

    if isinstance(node, ast.Constant):
        return _of_constant_annotation(node, inner)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([inner(node.left), inner(node.right)])
    found = others(node, inner) if others is not None else None
    if found is not None:
        return None if found == UNKNOWN else found
    if isinstance(node, ast.Attribute):
        return _of_name(node.attr)
    if isinstance(node, ast.Name):
        return _of_name(node.id)
    if isinstance(node, ast.Subscript):
        return _of_subscript(node, inner, strict=others is not None)
    return None


MAX_ANNOTATION_DEPTH = 8


def _of_constant_annotation(node: ast.Constant, inner: Callable[[ast.expr], Kind | None]) -> Kind | None:
    if node.value is None:
        return NONE
    if isinstance(node.value, str) and len(node.value) < 200:
        try:
            return inner(ast.parse(node.value.strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return None


def _of_name(name: str) -> Kind | None:
    return _ATOMS.get(name) or _bare_container(name)


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


def subscripts(node: ast.Subscript) -> list[ast.expr]:
    """Return the parts between the brackets of a subscript."""
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _of_subscript(node: ast.Subscript, read: Callable[[ast.expr], Kind | None], strict: bool) -> Kind | None:
    base = node.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    inner = subscripts(node)
    if not inner:  # `tuple[()]`
        return Kind("tuple") if name in ("tuple", "Tuple") else None
    if name == "Literal":
        return _of_literal(inner)
    if name == "Optional":
        return _union([read(inner[0]), NONE])
    if name == "Union":
        return _union([read(item) for item in inner])
    if name in ("Annotated", "Final", "Required", "NotRequired", "ReadOnly", "ClassVar", "InitVar"):
        return read(inner[0])
    variadic = len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis
    found = [read(item) for item in (inner[:1] if variadic else inner)]
    bare = _bare_container(name)
    if bare is None or (strict and None in found):
        return None
    if TOO_DEEP in found:
        return (
            Kind("choice", choices=(Built(_EMPTY_TEXT[bare.name]),)) if bare.name in _EMPTY_TEXT else TOO_DEEP
        )
    parts = [part or ANY for part in found]
    if bare.name == "tuple":
        return Kind("tuple", (parts[0],) * 3) if variadic else Kind("tuple", tuple(parts))
    wanted = len(bare.parts)
    return Kind(bare.name, tuple((parts + [ANY] * wanted)[:wanted]))


def _of_literal(items: Iterable[ast.expr]) -> Kind | None:
    values: list[object] = []
    for item in items:
        if isinstance(item, ast.Constant):
            values.append(item.value)
        elif isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.USub):
            number = item.operand.value if isinstance(item.operand, ast.Constant) else None
            values += [-number] if isinstance(number, int | float) else []
        elif isinstance(item, ast.Attribute):  # a member of an Enum
            values.append(Built(ast.unparse(item)))
    return Kind("choice", choices=tuple(values)) if values else None


def _union(alternatives: Iterable[Kind | None]) -> Kind | None:
    """Join the alternatives that are known; None alone does not stand for an unknown type."""
    flat: list[Kind] = []
    unknown = False
    for item in alternatives:
        unknown |= item is None
        if item is None or item == TOO_DEEP:
            continue
        flat += [part for part in (item.parts if item.name == "union" else (item,)) if part not in flat]
    if not flat or (unknown and flat == [NONE]):
        return None
    return flat[0] if len(flat) == 1 else Kind("union", tuple(flat[:6]))


def is_built(kind: Kind) -> bool:
    """Return True if values of the kind hold arguments that only the jail can build."""
    if kind.name in ("object", "text") or any(isinstance(value, Built) for value in kind.choices):
        return True
    return any(map(is_built, kind.parts))


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
    if isinstance(value, Built):
        return Kind("choice", choices=(value,))
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
    if a.name == b.name == "choice":
        return Kind("choice", choices=(*a.choices, *(value for value in b.choices if value not in a.choices)))
    if a.name == b.name and a.parts and len(a.parts) == len(b.parts) and a.name != "union":
        return replace(a, parts=tuple(_merge_two(x, y) for x, y in zip(a.parts, b.parts, strict=True)))
    return _union([a, b]) or ANY
