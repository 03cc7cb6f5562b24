"""Read annotations of types that are not plain data: the document's own, and those of well-known libraries.

The values are expressions that the jail evaluates (`sandbox.program.Built`). A type that is neither in the document nor
well known gives no kind, so that nothing is guessed for it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from sandbox.inputs.callables import kind_of_callable
from sandbox.inputs.classes import ClassReader
from sandbox.inputs.kinds import (
    ANY,
    BYTES,
    FLOAT,
    INT,
    STR,
    TOO_DEEP,
    UNKNOWN,
    Kind,
    of_annotation,
    subscripts,
)
from sandbox.inputs.names import Names
from sandbox.inputs.standard import kind_of_origin
from sandbox.inputs.target import Parameter, Target
from sandbox.program import Built

Read = Callable[[ast.expr], Kind | None]

MOST_NESTED = 5
"""Classes inside one another; a class inside itself at most `MOST_ALIKE` times."""
MOST_ALIKE = 3
MOST_CLASSES = 300
"""Classes that one request reads: a document whose classes all refer to each other must not take seconds."""

_TYPING = {"typing", "typing_extensions", "collections", "collections.abc", "builtins", "numbers", "types"}
_PLAIN = {
    "SupportsInt": INT, "SupportsIndex": INT, "SupportsFloat": FLOAT, "SupportsAbs": INT, "Integral": INT,
    "Real": FLOAT, "Rational": INT, "Text": STR, "LiteralString": STR, "Buffer": BYTES, "ByteString": BYTES,
    "Sized": Kind("list", (ANY,)), "Reversible": Kind("list", (ANY,)),
    "KeysView": Kind("list", (ANY,)), "ValuesView": Kind("list", (ANY,)),
}  # fmt: skip
_WRAPPED = {
    "deque": ("collections.deque", "list"), "Deque": ("collections.deque", "list"),
    "Counter": ("collections.Counter", "list"), "OrderedDict": ("collections.OrderedDict", "dict"),
    "Iterator": ("iter", "list"), "ChainMap": ("collections.ChainMap", "dict"),
    "MappingProxyType": ("types.MappingProxyType", "dict"),
}  # fmt: skip
_FACTORIES = {"int", "float", "str", "list", "dict", "set", "bool"}


class Objects:
    """Reads the annotations of one document that plain kinds do not cover (`kinds.Others`)."""

    def __init__(self, target: Target) -> None:
        self.names: Names = target.names
        self.owner = target.name.rpartition(".")[0]
        self.classes = ClassReader(self.names, self)
        self._path: list[str] = []
        self._n_read = 0

    def __call__(self, node: ast.expr, read: Read) -> Kind | None:
        """Return a kind, `UNKNOWN`, or None for an annotation of plain data."""
        if isinstance(node, ast.Subscript):
            return self._subscript(node, read)
        if not isinstance(node, ast.Name | ast.Attribute):
            return UNKNOWN
        origin = self.names.origin(node)
        if (plain := self._renamed(node)) is not None:
            return read(plain) or UNKNOWN
        if f"{self.owner}.{origin}" in self.names.classes:  # a class inside the method's own
            return self.of_class(f"{self.owner}.{origin}")
        if origin in self.names.classes:
            return self.of_class(origin)
        if isinstance(node, ast.Name) and node.id in self.names.values and node.id not in self.names.imports:
            return self._alias(node.id, self.names.values[node.id], read)
        name = origin.rpartition(".")[2]
        if name == "Self" and self.owner:
            return self.of_class(self.owner) if self.owner in self.names.classes else UNKNOWN
        if self._is_typing(origin):
            found = self._generic(name, [], read)
            if found is not None:
                return found
            if name in _PLAIN:
                return _PLAIN[name]
        found = kind_of_origin(origin, self.names)
        if found is not None:
            return found
        # A name of the standard library that an import takes from elsewhere is another type.
        return None if self._is_typing(origin) else UNKNOWN

    def of_class(self, name: str) -> Kind:
        """Return the kind of the instances of a class of the document."""
        if (
            self._path.count(name) >= MOST_ALIKE
            or len(self._path) >= MOST_NESTED
            or self._n_read > MOST_CLASSES
        ):
            return TOO_DEEP
        self._n_read += 1
        node = self.names.classes[name]
        self._path.append(name)
        try:
            return self._callback(node) or self.classes.kind(name) or UNKNOWN
        finally:
            self._path.pop()

    def constructions(self, target: Target) -> list[Kind]:
        """Return the kinds that make an instance of a method's class: of `object`, or the members of an enum.

        A class whose base is elsewhere is tried with the arguments of its own `__init__`, or with none.
        """
        kind = self.of_class(target.owner) if target.owner in self.names.classes else UNKNOWN
        found = kind.parts if kind.name == "union" else (kind,)
        found = tuple(item for item in found if item.name in ("object", "choice"))
        if not found and not self.classes.is_abstract(target.owner):
            own = self.classes.call(target.owner, target.constructor)
            return [own] if own is not None else []
        return list(found)

    def _is_typing(self, origin: str) -> bool:
        module, _, name = origin.rpartition(".")
        return module in _TYPING if module else name not in self.names.imports

    def _renamed(self, node: ast.expr) -> ast.Name | None:
        """Return the usual name of a type that an import renames: `from typing import List as L`."""
        origin = self.names.origin(node)
        usual = origin.rpartition(".")[2]
        if isinstance(node, ast.Name) and node.id != usual and "." in origin and self._is_typing(origin):
            return ast.Name(usual, ast.Load())
        return None

    def _subscript(self, node: ast.Subscript, read: Read) -> Kind | None:
        origin = self.names.origin(node.value)
        inner = subscripts(node)
        if (plain := self._renamed(node.value)) is not None:
            return read(ast.Subscript(plain, node.slice, node.ctx)) or UNKNOWN
        if origin in self.names.classes or origin in self.names.values:
            return read(node.value) or UNKNOWN
        name = origin.rpartition(".")[2]
        if origin in (
            "numpy.ndarray",
            "numpy.typing.NDArray",
            "pandas.Series",
            "os.PathLike",
            "re.Pattern",
            "re.Match",
        ):
            return kind_of_origin(origin, self.names)
        if not self._is_typing(origin):
            return UNKNOWN
        if name == "Callable":
            return self._callable(inner, read)
        if name == "IO" and inner:
            is_bytes = isinstance(inner[0], ast.Name) and inner[0].id == "bytes"
            return kind_of_origin("io.BytesIO" if is_bytes else "io.StringIO", self.names)
        if name in ("type", "Type") and inner:
            return self._type(inner[0])
        if name in ("Pattern", "Match"):
            return kind_of_origin(f"re.{name}", self.names)
        return self._generic(name, inner, read)

    def _generic(self, name: str, inner: list[ast.expr], read: Read) -> Kind | None:
        """Return the kind of a container that has no literal; None for any other name."""
        if name == "Callable":
            return kind_of_callable(None, ANY)
        if name in ("type", "Type"):
            return Kind("choice", choices=(Built("int"), Built("str"), Built("list")))
        wanted = {
            "defaultdict": 2,
            "DefaultDict": 2,
            "Generator": 1,
            **{n: 1 + (k == "dict") for n, (_, k) in _WRAPPED.items()},
        }
        if name not in wanted:
            return None
        found = [read(item) for item in inner[: wanted[name]]] or [ANY] * wanted[name]
        parts = tuple(part for part in found if part is not None)
        if len(parts) < wanted[name] or TOO_DEEP in parts:
            return UNKNOWN
        if name == "Generator":
            return Kind("text", (Kind("list", parts),), (Built("(item for item in "), ")"))
        if name in ("defaultdict", "DefaultDict"):
            called, modules = self.names.spelling("collections.defaultdict")
            factory = (
                parts[1].name if parts[1].name in _FACTORIES else "int" if parts[1] == ANY else "lambda: None"
            )
            return Kind("text", (Kind("dict", parts),), (Built(f"{called}({factory}, ", modules), ")"))
        origin, content = _WRAPPED[name]
        called, modules = self.names.spelling(origin) if "." in origin else (origin, ())
        if name == "Counter":
            parts = tuple(STR if part == ANY else part for part in parts)
        return Kind("object", (Kind(content, parts),), (Built(called, modules), ""))

    def _callable(self, inner: list[ast.expr], read: Read) -> Kind:
        if len(inner) != 2:
            return UNKNOWN
        returns = read(inner[1])
        if returns is None or returns == TOO_DEEP:
            return UNKNOWN
        if not isinstance(inner[0], ast.List):  # `...`, or a parameter specification
            return kind_of_callable(None, returns)
        # The kind of an argument only decides which operators fit, so an unknown one is no obstacle.
        arguments = [read(item) or UNKNOWN for item in inner[0].elts]
        of = self.names.origin(inner[0].elts[0]) if len(arguments) == 1 else ""
        attributes = self.classes.attributes(of) if arguments and arguments[0].name == "object" else {}
        return kind_of_callable(arguments, returns, attributes)

    def _callback(self, node: ast.ClassDef) -> Kind | None:
        """Return the kind of functions for a protocol with `__call__` alone."""
        methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
        is_protocol = any(self.names.origin(base).rpartition(".")[2] == "Protocol" for base in node.bases)
        if not is_protocol or [item.name for item in methods] != ["__call__"]:
            return None
        arguments = [item.annotation or ast.Name("Any", ast.Load()) for item in methods[0].args.args[1:]]
        returns = methods[0].returns or ast.Name("Any", ast.Load())
        signature = [ast.List(arguments, ast.Load()), returns]
        return self._callable(signature, self.read)

    def read(self, node: ast.expr) -> Kind | None:
        """Return the kind of any annotation of the document."""
        return of_annotation(node, self)

    def _type(self, node: ast.expr) -> Kind:
        origin = self.names.origin(node)
        if origin in self.names.classes:
            found = [*self.names.subclasses(origin)[:4], origin]
            return Kind("choice", choices=tuple(map(Built, found)))
        return Kind("choice", choices=(Built(origin),)) if origin in _FACTORIES else UNKNOWN

    def _alias(self, name: str, value: ast.expr, read: Read) -> Kind | None:
        """Return the kind of an alias, a type variable, a new type, or a class made by a call."""
        if not isinstance(value, ast.Call):
            return read(value) or UNKNOWN
        called = self.names.origin(value.func).rpartition(".")[2]
        if called == "TypeVar":
            bound = next((k.value for k in value.keywords if k.arg == "bound"), None)
            if bound is not None:
                return read(bound) or UNKNOWN
            return read(value.args[1]) or UNKNOWN if len(value.args) > 1 else ANY
        if called == "NewType" and len(value.args) == 2:
            kind = read(value.args[1])
            return Kind("object", (kind,), (Built(name), "")) if kind is not None else UNKNOWN
        if called == "namedtuple" and len(value.args) >= 2:
            return self._named_tuple(name, value.args[1])
        if called in ("Enum", "IntEnum", "StrEnum", "Flag") and len(value.args) == 2:
            members = [f"{name}.{member}" for member in _words(value.args[1])]
            return Kind("choice", choices=tuple(map(Built, members))) if members else UNKNOWN
        return UNKNOWN

    def _named_tuple(self, name: str, fields: ast.expr) -> Kind:
        parameters = [Parameter(word) for word in _words(fields)]
        return self.classes.call(name, parameters) or UNKNOWN


def _words(node: ast.expr) -> list[str]:
    """Return the names in `"x y"`, `"x, y"` or `["x", "y"]`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [word for word in node.value.replace(",", " ").split() if word.isidentifier()]
    if isinstance(node, ast.List | ast.Tuple):
        return [
            item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
        ]
    return []
