"""Read how instances of a document's classes are made: from the syntax of the class, never by running it.

Covered are dataclasses, named tuples, typed dicts, enums, exceptions, subclasses of builtin types, and classes with
`__init__` or `__new__`. An abstract class or a protocol stands for the classes of the document that fit it.
Classes made in other ways are unknown. No input is guessed for them.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sandbox.inputs.kinds import INT, STR, Kind, Others
from sandbox.inputs.names import Names, base_of
from sandbox.inputs.parameters import parameter_kind
from sandbox.inputs.target import FunctionNode, Parameter, decorator_name, parameters_of
from sandbox.program import Built

_ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum"}
_FIELDS = {"dataclass", "define", "frozen", "mutable", "attrs"}
_BARE = {"object", "ABC", "Protocol", "Generic", "Hashable", "Sized"}
_EXCEPTIONS = {
    "Exception", "ValueError", "KeyError", "TypeError", "RuntimeError", "LookupError", "OSError", "BaseException",
}  # fmt: skip
_BUILTIN = {
    "int": INT, "str": STR, "float": Kind("float"), "list": Kind("list", (INT,)), "dict": Kind("dict", (STR, INT)),
    "set": Kind("set", (INT,)), "tuple": Kind("tuple", (Kind("tuple", (INT, INT)),)),
    "UserDict": Kind("dict", (STR, INT)), "UserList": Kind("list", (INT,)), "UserString": STR,
}  # fmt: skip
_LINKS = {"next", "next_node", "left", "right", "prev", "previous", "child", "parent", "head", "tail"}
MOST_MEMBERS = 12


@dataclass(frozen=True, slots=True)
class ClassReader:
    """Reads the classes of one document; `others` reads the annotations of their fields."""

    names: Names
    others: Others

    def kind(self, name: str) -> Kind | None:
        """Return the kind of the instances of a class, its subclasses included where it is abstract."""
        node = self.names.classes[name]
        bases = self._bases(name)
        if bases & _ENUMS:
            return self._members(name, node)
        alternatives: list[Kind] = []
        if self.is_abstract(name):
            fitting = [*self.names.subclasses(name), *self._structural(node, bases)]
            concrete = [other for other in dict.fromkeys(fitting) if not self.is_abstract(other)]
            for other in concrete[:3]:
                found = self._instance(other)
                alternatives += [found] if found is not None else []
        else:
            found = self._instance(name)
            alternatives = [found] if found is not None else []
        if len(alternatives) < 2:
            return alternatives[0] if alternatives else None
        return Kind("union", tuple(alternatives))

    def _lineage(self, name: str) -> Iterator[ast.ClassDef]:
        """Yield a class and its bases in the document, nearest first."""
        pending, seen = [name], set[str]()
        while pending:
            current = pending.pop(0)
            node = self.names.classes.get(current)
            if node is not None and current not in seen:
                seen.add(current)
                yield node
                pending += [self.names.origin(base_of(base)) for base in node.bases]

    def _bases(self, name: str) -> set[str]:
        """Return the last names of all bases that the document does not define."""
        origins = {self.names.origin(base_of(base)) for node in self._lineage(name) for base in node.bases}
        return {origin.rpartition(".")[2] or "?" for origin in origins if origin not in self.names.classes}

    def _methods(self, node: ast.ClassDef) -> dict[str, FunctionNode]:
        return {
            item.name: item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def is_abstract(self, name: str) -> bool:
        """Return True for a protocol, and where a method is abstract or raises NotImplementedError."""
        node = self.names.classes.get(name)
        if node is not None and "Protocol" in {self._last(base) for base in node.bases}:
            return True
        defined: dict[str, FunctionNode] = {}
        for one in self._lineage(name):
            for method, item in self._methods(one).items():
                defined.setdefault(method, item)
        return any(_is_open(method) for method in defined.values())

    def _last(self, base: ast.expr) -> str:
        return self.names.origin(base_of(base)).rpartition(".")[2]

    def _structural(self, node: ast.ClassDef, bases: set[str]) -> Iterator[str]:
        """Yield classes that have all methods and attributes of a protocol."""
        if "Protocol" not in bases:
            return
        wanted = {*self._methods(node), *(field.name for field in _annotated(node))}
        for other in self.names.classes:
            lineage = list(self._lineage(other))
            held = {
                name for one in lineage for name in (*self._methods(one), *(f.name for f in _annotated(one)))
            }
            held |= {name for one in lineage for name in _assigned_attributes(one)}
            if wanted <= held and self.names.classes[other] is not node:
                yield other

    def _members(self, name: str, node: ast.ClassDef) -> Kind | None:
        """Return the members of an enum."""
        members = [
            target.id
            for item in node.body
            if isinstance(item, ast.Assign)
            for target in item.targets
            if isinstance(target, ast.Name) and not target.id.startswith("_")
        ]
        texts = [f"{name}.{member}" for member in members[:MOST_MEMBERS]]
        if self._bases(name) & {"Flag", "IntFlag"} and texts:
            texts += [" | ".join(pair) for pair in itertools.pairwise(texts)] + [f"{name}(0)"]
        return Kind("choice", choices=tuple(map(Built, texts))) if texts else None

    def _instance(self, name: str) -> Kind | None:
        """Return the kind of a concrete class; None where its constructor is unknown."""
        bases = self._bases(name)
        if "TypedDict" in bases:
            return self._typed_dict(name)
        for node in self._lineage(name):
            method = self._methods(node).get("__init__") or self._methods(node).get("__new__")
            if method is not None:
                return self.call(name, parameters_of(method)[1:], name)
            if {decorator_name(item) for item in node.decorator_list} & _FIELDS or _is_attrs(node):
                return self.call(name, self._fields(name), name)
        if bases & {"NamedTuple", "BaseModel", "Struct"}:
            keyword = "NamedTuple" not in bases
            fields = [replace(field, keyword_only=keyword) for field in self._fields(name)]
            return self.call(name, fields, name)
        for base, kind in _BUILTIN.items():
            if base in bases:
                return Kind("object", (kind,), (Built(name), ""))
        if bases & _EXCEPTIONS:
            return Kind("object", (Kind("choice", choices=("wrong value", "")),), (Built(name), ""))
        return Kind("object", (), (Built(name),)) if bases <= _BARE else None

    def _fields(self, name: str) -> list[Parameter]:
        """Return the fields of a dataclass or named tuple, those of its bases first."""
        found: dict[str, Parameter] = {}
        for node in reversed(list(self._lineage(name))):
            keyword_only = any(_flag(item, "kw_only") for item in node.decorator_list)
            for field in _annotated(node):
                marker = decorator_name(base_of(field.annotation)) if field.annotation is not None else ""
                keyword_only |= marker == "KW_ONLY"
                given = _as_argument(field)
                if given is not None and marker not in ("KW_ONLY", "ClassVar"):
                    found[field.name] = replace(given, keyword_only=keyword_only or given.keyword_only)
        return list(found.values())

    def attributes(self, name: str) -> dict[str, Kind]:
        """Return the attributes of an instance whose kinds are known: fields, and arguments that it keeps."""
        lineage = list(self._lineage(name))
        kept = {attribute for node in lineage for attribute in _assigned_attributes(node)}
        made = next(
            (found for node in lineage if (found := self._methods(node).get("__init__")) is not None), None
        )
        given = (
            [p for p in parameters_of(made)[1:] if p.name in kept] if made is not None else self._fields(name)
        )
        kinds = {field.name: parameter_kind(field, (), "", self.others) for field in given}
        return {attribute: kind for attribute, kind in kinds.items() if kind is not None}

    def _typed_dict(self, name: str) -> Kind | None:
        fields = self._fields(name)
        found = [parameter_kind(field, (), "", self.others) for field in fields]
        known = [kind for kind in found if kind is not None]
        if len(known) < len(found) or not fields:
            return None
        texts = [f"{field.name!r}: " for field in fields]
        after = [f", {text}" for text in texts[1:]] + ["}"]
        return Kind("text", tuple(known), (Built("{" + texts[0]), *after))

    def call(self, called: str, parameters: Sequence[Parameter], owner: str = "") -> Kind | None:
        """Return the kind of objects that a call makes; None where a required argument cannot be made.

        An argument with a default of an unknown type is left out, and later ones are passed by name.
        """
        parts: list[Kind] = []
        named: list[str] = []
        by_name = False
        for parameter in parameters:
            kind = self._argument(parameter, owner)
            if kind is None:
                if parameter.default is None:
                    return None
                by_name = True
                continue
            parts.append(kind)
            named.append(parameter.name if by_name or parameter.keyword_only else "")
        return Kind("object", tuple(parts), (Built(called), *named))

    def _argument(self, parameter: Parameter, owner: str) -> Kind | None:
        """Return the kind of an argument; an optional one without any hint is left out."""
        if parameter.annotation is not None:
            kind = parameter_kind(parameter, (), "", self.others)
            return kind if kind is None or kind.name != "too deep" else None
        if parameter.default is None:
            return parameter_kind(parameter, (), "")
        if isinstance(parameter.default, ast.Constant) and parameter.default.value is None:
            if parameter.name not in _LINKS or not owner:
                return None
            link = ast.Subscript(ast.Name("Optional", ast.Load()), ast.Name(owner, ast.Load()), ast.Load())
            return parameter_kind(replace(parameter, annotation=link), (), "", self.others)
        if isinstance(parameter.default, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.UnaryOp):
            return parameter_kind(parameter, (), "")
        return None


def _annotated(node: ast.ClassDef) -> list[Parameter]:
    return [
        Parameter(item.target.id, item.annotation, item.value)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]


def _as_argument(field: Parameter) -> Parameter | None:
    """Return a field as the constructor takes it, with what `field(...)` says; None for one that it does not take."""
    default = field.default
    if not isinstance(default, ast.Call) or decorator_name(default) not in ("field", "Field", "ib"):
        return field
    if any(k.arg == "init" and getattr(k.value, "value", True) is False for k in default.keywords):
        return None
    has_default = bool(default.args) or {k.arg for k in default.keywords} & {
        "default",
        "default_factory",
        "factory",
    }
    return replace(field, default=default if has_default else None, keyword_only=_flag(default, "kw_only"))


def _assigned_attributes(node: ast.ClassDef) -> set[str]:
    """Return the attributes that methods assign to `self`, and the class's own."""
    stored = (
        n for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Name) and isinstance(n.ctx, ast.Store)
    )
    return {n.attr if isinstance(n, ast.Attribute) else n.id for n in stored}


def _is_open(method: FunctionNode) -> bool:
    """Return True for a method that a subclass must define."""
    if any(decorator_name(item).startswith("abstract") for item in method.decorator_list):
        return True
    last = method.body[-1]
    raised = last.exc if isinstance(last, ast.Raise) else None
    raised = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def _is_attrs(node: ast.ClassDef) -> bool:
    called = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
    return any(
        isinstance(item, ast.Attribute) and ast.unparse(item) in ("attr.s", "attr.attrs") for item in called
    )


def _flag(node: ast.expr, name: str) -> bool:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return any(k.arg == name and getattr(k.value, "value", False) is True for k in keywords)
