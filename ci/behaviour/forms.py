"""Compute the normal form of a patch: one form, one vote.

Patches that differ only in local variable names, comments, docstrings or annotations are one vote. Otherwise
ten copies of one mistake would look like ten independent patches that agree. The form may merge a little too
much, which costs a vote. So it is used for votes only: `ci.behaviour.changes` decides whether a patch changes
a function, where merging too much would hide a change.

Not covered: names of functions, of parameters in calls by keyword, and of module attributes.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from sandbox.inputs.target import FunctionNode, parse_quietly

DOCUMENTATION = (".md", ".rst", ".adoc")
"""Suffixes of files that no program reads, so that a change of them needs no probe."""

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def normal_form(source: str) -> str:
    """Return a text that is equal for sources of the same program.

    Source that does not parse is its own normal form.
    """
    tree = parse_quietly(source)
    try:
        return source if tree is None else ast.dump(_Normal().visit(tree))
    except RecursionError:
        return source


def form_of(files: Mapping[str, str | None]) -> str:
    """Hash the files that a patch changes.

    `files` maps a path to its new text, None where the patch deletes it.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.endswith(DOCUMENTATION):
            continue
        text = files[path]
        form = "" if text is None else normal_form(text) if path.endswith(".py") else text
        digest.update(repr((path, text is None, form)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class _Normal(ast.NodeTransformer):
    """Remove what has no effect, and number the names inside functions.

    Docstrings, annotations and `pass` have no effect. A name gets its number at its first appearance in the
    scope that binds it. `0v1` and the like are not identifiers, so they cannot collide with a name of the
    program.
    """

    def __init__(self) -> None:
        self._scopes: list[dict[str, str]] = []
        self._numbered = 0

    # Nodes without effect.

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_TypeVar(self, node: ast.AST) -> None:
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is not None:
            return self.generic_visit(ast.Assign([node.target], node.value))
        if self._scopes:
            return None
        # In a class it may be the field of a dataclass, whatever the annotation.
        return ast.AnnAssign(node.target, ast.Constant(None), None, node.simple)

    # Scopes.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._scope(node, _defaults(node.args))

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._scope(node, [node.generators[0].iter])

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._scope(node, [node.generators[0].iter])

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._scope(node, [node.generators[0].iter])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._scope(node, [node.generators[0].iter])

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        if not self._scopes:
            return self.generic_visit(node)
        return self._scope(node, [*node.bases, *node.keywords, *node.decorator_list])

    def _function(self, node: FunctionNode) -> ast.AST:
        node.returns = None
        node.name = self._name(node.name)
        return self._scope(node, [*node.decorator_list, *_defaults(node.args)])

    def _scope(self, node: ast.AST, outside: Iterable[ast.AST]) -> ast.AST:
        """Visit a scope; its parts in `outside` belong to the enclosing scope.

        They are visited again with the rest, without effect: a number is not a name.
        """
        for part in outside:
            self.visit(part)
        names = _names(node)
        # A class binds attributes, which are used by name.
        self._scopes.append({name: name for name in names} if isinstance(node, ast.ClassDef) else names)
        self.generic_visit(node)
        self._scopes.pop()
        return node

    # Every node that holds a name.

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._name(node.arg), None
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = node.name and self._name(node.name)
        return self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> ast.AST:
        if self._scopes and (bound := _imported_as(node)):
            node.asname = self._name(bound)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self._name(name) for name in node.names]
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        node.name = node.name and self._name(node.name)
        return self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        node.name = node.name and self._name(node.name)
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        node.rest = node.rest and self._name(node.rest)
        return self.generic_visit(node)

    def _name(self, name: str) -> str:
        """The number of a name bound by an enclosing scope.

        A global name is kept.
        """
        for scope in reversed(self._scopes):
            if name in scope:
                if not scope[name]:
                    self._numbered += 1
                    scope[name] = f"0v{self._numbered}"
                return scope[name]
        return name


def _names(scope: ast.AST) -> dict[str, str]:
    """The names that belong to a scope itself, without numbers yet.

    Declared globals keep their names.
    """
    if isinstance(scope, _Comprehension):
        targets = [node for made in scope.generators for node in ast.walk(made.target)]
        return {node.id: "" for node in targets if isinstance(node, ast.Name)}
    inside = list(_inside(scope))
    names = dict.fromkeys((name for node in inside for name in _binds(node)), "")
    for node in inside:
        if isinstance(node, ast.Nonlocal):
            names = {name: number for name, number in names.items() if name not in node.names}
        elif isinstance(node, ast.Global):
            names |= {name: name for name in node.names}
    return names


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a scope, except those of inner scopes."""
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, _Comprehension):
            # Its variables are its own, but `:=` in it binds a name of the enclosing function.
            pending += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, FunctionNode | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(node)


def _binds(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.alias() if name := _imported_as(node):
            yield name


def _imported_as(alias: ast.alias) -> str:
    """The name that an import binds; empty for `import a.b`.

    That import binds `a`, which no alias can express.
    """
    return alias.asname or ("" if "." in alias.name or alias.name == "*" else alias.name)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]
