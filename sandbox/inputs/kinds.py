"""Kinds: what values a parameter takes, from its annotation, the values seen, its default, or its name.

A kind is a small description of a type, not a Python type: it never needs the annotation to be evaluated, and
it can be learned from examples (`[3, 1]` says: a list of integers).
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.inputs.target import Parameter


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is one of int, float, bool, str, bytes, none, list, set, frozenset, tuple, dict, union,
    choice, any.

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
    """The kind an annotation describes; None for no annotation and for types that are not plain data."""
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
    """A container without its element: the element is left open (`any`) and can be learned from its name."""
    if name in _LISTS:
        return Kind("list", (ANY,))
    if name in _SETS:
        return Kind("set", (ANY,))
    if name in ("frozenset", "FrozenSet"):
        return Kind("frozenset", (ANY,))
    if name in _DICTS:
        return Kind("dict", (ANY, ANY))
    if name in ("tuple", "Tuple"):
        return Kind("list", (ANY,)) if name == "" else Kind("tuple", (ANY, ANY))
    return None


def _of_subscript(node: ast.Subscript, depth: int) -> Kind | None:
    base = node.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        values = tuple(item.value for item in inner if isinstance(item, ast.Constant))
        return Kind("choice", choices=values) if values else None
    if name in ("Optional",):
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
    """The kind one value is an example of; None for values that are not plain data."""
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
    """The narrowest kind that covers all of them: int and float give float, two lists one list."""
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


_NAME_PATTERNS: tuple[tuple[str, Kind], ...] = (
    (r"^(is|has|should|can|allow|enable|use|include)_|^(flag|reverse|strict|verbose|ascending)$", BOOL),
    (r"matrix|grid|board|rows$|^table$", Kind("list", (Kind("list", (INT,)),))),
    (r"^(strings|words|names|lines|tokens|texts|keys|paths|urls|tags|labels)$", Kind("list", (STR,))),
    (r"^(pairs|points|edges|intervals|ranges|items_list)$", Kind("list", (Kind("tuple", (INT, INT)),))),
    (
        r"^(l|l\d|lst\d?|list\d?|arr\d?|array\d?|nums|numbers|xs|ys|values|items|elements|data|seq|sequence|ints"
        r"|integers|digits|scores|grades|prices|heights|weights|costs|stack|queue|operand|input_list|lis|a_list)$"
        r"|_(list|array|numbers)$|(list|array)$",
        Kind("list", (INT,)),
    ),
    (r"^(d|dict|dic|mapping|counts?_by|config|options|record|obj)$|_(dict|map)$", Kind("dict", (STR, INT))),
    (
        r"^(s|s\d|st|str\d?|string\d?|text|txt|word|name|sentence|line|char|ch|substring|sub|prefix|suffix|pattern"
        r"|message|title|path|url|date|key|filename|file_name|email|token|source|query|sep|delimiter|paren_string"
        r"|brackets?|planet\d?|song|music\w*|message|phrase|password|label)$|_(string|str|text|name|word)$|string$",
        STR,
    ),
    (
        r"^(rate|ratio|threshold|price|weight|height|width|radius|area|temperature|percent|probability|eps|tol)$",
        FLOAT,
    ),
    (
        r"^(n|m|k|x|y|z|i|j|a|b|c|p|q|w|num\d?|number\d?|integer|val|value|count|size|length|limit|base|index|start"
        r"|end|stop|step|year|month|day|age|total|capacity|target|low|high|lo|hi|min_val|max_val|decimal|digit|t)$"
        r"|^(n|num|max|min)_|_(count|size|id|index|number|length)$",
        INT,
    ),
)

_DOC_HINTS: tuple[tuple[str, Kind], ...] = (
    (
        r"\b(list|array|lists|arrays|sequence)s? of (lists|arrays|rows)\b",
        Kind("list", (Kind("list", (INT,)),)),
    ),
    (
        r"\b(list|array|lists|sequence)s? (of|that contains) (\w+ ){0,2}(strings|words|names)\b",
        Kind("list", (STR,)),
    ),
    (r"\bdictionary\b|\bdict\b|\bmapping\b", Kind("dict", (STR, INT))),
    (r"\b(list|array|vector|sequence)s?\b", Kind("list", (INT,))),
    (r"\b(string|word|sentence|text|letter|character)s?\b", STR),
    (r"\b(decimal|float|real number|floating)\b", FLOAT),
    (r"\b(integer|number|digit)s?\b", INT),
)


def of_name(name: str, docstring: str = "") -> Kind:
    """A guess from the parameter's name, and where that says nothing from the words of the docstring."""
    lowered = name.lower()
    for pattern, kind in _NAME_PATTERNS:
        if re.search(pattern, lowered):
            return kind
    for pattern, kind in _DOC_HINTS:
        if re.search(pattern, docstring.lower()):
            return kind
    return INT


def of_parameter(parameter: Parameter, seen: Iterable[object], docstring: str = "") -> Kind:
    """The kind of a parameter, most reliable evidence first: annotation, values seen, default, name.

    An annotation that leaves its elements open (`list`) is filled in from what the weaker evidence says.
    """
    annotated = of_annotation(parameter.annotation)
    observed = merge(_common(of_value(value) for value in seen))
    default: Kind | None = None
    if parameter.default is not None:
        try:
            default = of_value(ast.literal_eval(parameter.default))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            default = None
    guess = of_name(parameter.name, docstring)
    weaker = observed or (default if default not in (None, NONE) else None) or guess
    if annotated is None or annotated == ANY:
        return weaker
    return _fill(annotated, weaker)


def _common(kinds: Iterable[Kind | None]) -> list[Kind]:
    """The kinds without the rare ones: a generated assert sometimes passes nonsense on purpose."""
    counts = Counter(kind for kind in kinds if kind is not None)
    by_name: Counter[str] = Counter()
    for kind, count in counts.items():
        by_name[kind.name] += count
    most = max(by_name.values(), default=0)
    return [kind for kind in counts if by_name[kind.name] * 5 >= most]


def _fill(kind: Kind, weaker: Kind) -> Kind:
    """Replace `any` parts of `kind` by the same part of `weaker`, or by integers and strings."""
    if kind == ANY:
        return weaker if weaker.name not in ("union", "none") else Kind("union", (INT, STR))
    if not kind.parts:
        return kind
    if kind.name == weaker.name and len(kind.parts) == len(weaker.parts):
        return Kind(kind.name, tuple(_fill(a, b) for a, b in zip(kind.parts, weaker.parts, strict=True)))
    fallback = (STR, INT) if kind.name == "dict" else (INT,) * len(kind.parts)
    return Kind(kind.name, tuple(_fill(a, b) for a, b in zip(kind.parts, fallback, strict=True)))
