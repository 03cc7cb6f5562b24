"""What a patch changes, read from syntax: its normal form for counting votes, and the functions it touches.

Two patches that differ only in names of local variables, comments, docstrings or annotations are one vote:
ten copies of one mistake must not look like ten people agreeing. The normal form may merge a little too much
(it costs a vote), never too little for such differences.

What is not covered: callers in *other* modules are not followed; a changed function is probed itself, and
through the functions of its own module that use it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.inputs.target import parse_quietly

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

DOCUMENTATION = (".md", ".rst", ".adoc")
"""Files whose text no program reads, so a change of them needs no probe."""


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """A module taken apart: each function's form and the names it uses, and every other statement."""

    functions: Mapping[str, str]
    """Qualified name (`f`, `Class.method`) to normal form."""
    uses: Mapping[str, frozenset[str]]
    """Qualified name to the bare names and attributes that its body mentions."""
    rest: Mapping[str, frozenset[str]]
    """Every statement outside functions (constants, class attributes, imports): its form to the names that it
    binds. No names: it does something else, and any function may depend on it."""


def normal_form(source: str) -> str:
    """A text that is equal for two sources that differ only in what does not count as a different program.

    Source that does not parse is its own normal form.
    """
    tree = parse_quietly(source)
    if tree is None:
        return source
    return ast.dump(_Normal().visit(tree))


def form_of(files: Mapping[str, str | None]) -> str:
    """One hash for all files a patch leaves behind (path to text, None where it deletes)."""
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.endswith(DOCUMENTATION):
            continue
        text = files[path]
        form = "" if text is None else normal_form(text) if path.endswith(".py") else text
        digest.update(repr((path, text is None, form)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def shape(source: str) -> ModuleShape | None:
    """Take a module apart; None where it does not parse."""
    tree = parse_quietly(source)
    if tree is None:
        return None
    functions: dict[str, str] = {}
    uses: dict[str, frozenset[str]] = {}
    rest: dict[str, frozenset[str]] = {}
    _collect(tree, "", functions, uses, rest)
    return ModuleShape(functions, uses, rest)


def touched(base: ModuleShape, patched: ModuleShape) -> frozenset[str]:
    """Functions of base that the patch changes or deletes, or whose constants and imports it changes."""
    changed = {name for name, form in base.functions.items() if patched.functions.get(name) != form}
    for one, other in ((base, patched), (patched, base)):
        for form, names in one.rest.items():
            if form in other.rest:
                continue
            if not names:
                return frozenset(base.functions)
            changed |= {function for function, used in base.uses.items() if used & names}
    return frozenset(changed)


def users(module: ModuleShape, names: Iterable[str]) -> frozenset[str]:
    """`names` and every function of the module that uses one of them, directly or through others."""
    found = set(names)
    while True:
        bare = {name.rpartition(".")[2] for name in found} | {name.partition(".")[0] for name in found}
        more = {name for name, used in module.uses.items() if used & bare} - found
        if not more:
            return frozenset(found)
        found |= more


def is_public(qualified: str) -> bool:
    """No part of the name begins with an underscore."""
    return not any(part.startswith("_") for part in qualified.split("."))


def _collect(
    node: ast.Module | ast.ClassDef,
    prefix: str,
    functions: dict[str, str],
    uses: dict[str, frozenset[str]],
    rest: dict[str, frozenset[str]],
) -> None:
    for child in _without_idle(node.body):
        if isinstance(child, ast.ClassDef):
            header = ast.ClassDef(child.name, child.bases, child.keywords, [], child.decorator_list)
            rest[f"{prefix}{ast.dump(header)}"] = frozenset({child.name})
            _collect(child, f"{prefix}{child.name}.", functions, uses, rest)
        elif isinstance(child, FunctionNode):
            name = f"{prefix}{child.name}"
            uses[name] = _mentioned(child) - {child.name}
            # The form is taken of a copy: the visitor changes what it visits.
            functions[name] = ast.dump(_Normal().visit(ast.parse(ast.unparse(child))))
        else:
            rest[f"{prefix}{ast.dump(child)}"] = _bound(child)


def _mentioned(function: FunctionNode) -> frozenset[str]:
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)})


def _bound(statement: ast.stmt) -> frozenset[str]:
    """The names that an import or assignment binds; empty for anything that may do more than that."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        names = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        return frozenset() if "*" in names else frozenset(names)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if all(isinstance(target, ast.Name) for target in targets):
            return frozenset(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset()


class _Normal(ast.NodeTransformer):
    """Removes docstrings, annotations inside functions and `pass`; renames what is local to a function."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = _without_idle(node.body)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = _without_idle(node.body)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return _normal_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return _normal_function(node)


def _normal_function(node: FunctionNode) -> FunctionNode:
    for inner in ast.walk(node):
        if isinstance(inner, FunctionNode):
            inner.returns = None
            inner.body = [_plain_assignment(statement) for statement in _without_idle(inner.body)]
        if isinstance(inner, ast.arg):
            inner.annotation = None
        for field in ("body", "orelse", "finalbody"):
            block = getattr(inner, field, None)
            if isinstance(block, list):
                setattr(inner, field, [_plain_assignment(statement) for statement in _without_idle(block)])
    _rename_locals(node)
    return node


def _without_idle(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without docstrings, other constants that stand alone, and `pass`."""
    return [
        statement
        for statement in body
        if not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _plain_assignment(statement: ast.stmt) -> ast.stmt:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return ast.Assign(targets=[statement.target], value=statement.value)
    return statement


def _rename_locals(function: FunctionNode) -> None:
    """Number the parameters and variables of a function in the order in which they first appear."""
    outer = {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.Global | ast.Nonlocal)
        for name in node.names
    }
    local: dict[str, str] = {}
    for node in ast.walk(function):
        name = (
            node.arg
            if isinstance(node, ast.arg)
            else node.id
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else None
        )
        if name is not None and name not in outer:
            local.setdefault(name, f"v{len(local)}")
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            node.id = local.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = local.get(node.arg, node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = "error"
