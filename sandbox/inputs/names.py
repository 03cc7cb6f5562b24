"""Find what the names of a document mean: its classes, its aliases and its imports.

Everything is read from syntax. Names that a function or a class defines for itself are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Names:
    """The names at the top level of one document."""

    classes: Mapping[str, ast.ClassDef] = field(default_factory=dict)
    """Classes by name; nested ones by dotted name."""
    values: Mapping[str, ast.expr] = field(default_factory=dict)
    """Assigned expressions: aliases, type variables, new types."""
    imports: Mapping[str, str] = field(default_factory=dict)
    """The dotted origin of each imported name: `np` is `numpy`, `date` is `datetime.date`."""
    type_only: frozenset[str] = frozenset()
    """Names imported under `if TYPE_CHECKING:`, which do not exist when the program runs."""
    functions: frozenset[str] = frozenset()

    def origin(self, node: ast.expr) -> str:
        """Return the dotted origin of a name or an attribute; empty for any other expression."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.origin(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def spelling(self, origin: str) -> tuple[str, tuple[str, ...]]:
        """Return how the document spells an imported thing, and the modules that must be imported for it."""
        available = {name: what for name, what in self.imports.items() if name not in self.type_only}
        for name, what in available.items():
            if what == origin:
                return name, ()
        module, _, last = origin.rpartition(".")
        for name, what in available.items():
            if what == module:
                return f"{name}.{last}", ()
        return origin, (origin.partition(".")[0],)

    def subclasses(self, name: str) -> list[str]:
        """Return the classes of the document that derive from `name`, in order, without itself."""
        found: list[str] = []
        for other, node in self.classes.items():
            bases = {self.origin(base_of(base)) for base in node.bases}
            if other != name and bases & {name, *found}:
                found.append(other)
        return found

    def known(self, name: str) -> bool:
        """Return True if the running program has the name."""
        imported = name in self.imports and name not in self.type_only
        return imported or name in self.classes or name in self.values or name in self.functions


def base_of(node: ast.expr) -> ast.expr:
    """Return the class of a base: `Stack` for `Stack[int]`."""
    return node.value if isinstance(node, ast.Subscript) else node


def names_of(tree: ast.Module) -> Names:
    """Collect the names at the top level of a module; later definitions win."""
    classes: dict[str, ast.ClassDef] = {}
    values: dict[str, ast.expr] = {}
    imports: dict[str, str] = {}
    type_only: set[str] = set()
    functions: set[str] = set()
    for statement, checking in _statements(tree.body, False):
        match statement:
            case ast.ClassDef():
                _add_class(classes, statement, statement.name)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions.add(statement.name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = value
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=found)):
                pairs = zip(targets, found, strict=False)
                values.update((target.id, value) for target, value in pairs if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                values[name] = value
            case ast.Import() | ast.ImportFrom():
                new = dict(_imported(statement))
                imports.update(new)
                type_only = type_only | set(new) if checking else type_only - set(new)
            case _ if (
                type(statement).__name__ == "TypeAlias"
            ):  # `type X = ...`, which Python 3.11 cannot read
                values[statement.name.id] = statement.value  # type: ignore[attr-defined]
    return Names(classes, values, imports, frozenset(type_only), frozenset(functions))


def _statements(body: list[ast.stmt], checking: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield statements, also those in `try` and `if`, and whether only a type checker runs them."""
    for statement in body:
        if isinstance(statement, ast.Try):
            inner = [*statement.body, *statement.orelse, *statement.finalbody]
            for handler in statement.handlers:
                yield from _statements(handler.body, checking)
            yield from _statements(inner, checking)
        elif isinstance(statement, ast.If):
            only = "TYPE_CHECKING" in {
                getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(statement.test)
            }
            yield from _statements(statement.orelse, checking)
            yield from _statements(statement.body, checking or only)
        else:
            yield statement, checking


def _add_class(classes: dict[str, ast.ClassDef], node: ast.ClassDef, name: str) -> None:
    classes.pop(name, None)
    classes[name] = node
    for inner in node.body:
        if isinstance(inner, ast.ClassDef):
            _add_class(classes, inner, f"{name}.{inner.name}")


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            first = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif alias.name != "*":
            module = "." * statement.level + (statement.module or "")
            yield alias.asname or alias.name, f"{module}.{alias.name}"
