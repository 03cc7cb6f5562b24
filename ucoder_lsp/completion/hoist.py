"""Bring the function under the cursor into reach: define it whatever the branches around it decide.

A function may be defined in `try`, `if`, `with`, a loop or `match`, at the top level or in a class. The sandbox calls
it by name. So the branch that holds it runs here, even where this interpreter would take another one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
Path = tuple[Definition, ...]
"""The classes around a function, outermost first, and the function itself."""


def suites(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Return the blocks of a compound statement that is not a definition."""
    match statement:
        case ast.Try() | ast.TryStar():
            handlers = [handler.body for handler in statement.handlers]
            return [statement.body, *handlers, statement.orelse, statement.finalbody]
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While():
            return [statement.body, statement.orelse]
        case ast.With() | ast.AsyncWith():
            return [statement.body]
        case ast.Match():
            return [case.body for case in statement.cases]
        case _:
            return []


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of one scope, in document order."""
    for statement in body:
        yield statement
        for suite in suites(statement):
            yield from statements(suite)


def locate(tree: ast.Module, dotted: str | None, line: int) -> Path:
    """Return the path to the function of that dotted name; empty when there is none.

    Of several definitions it is the one around the 1-based `line`, else the last one.
    """
    found = _paths(tree.body, dotted.split(".")) if dotted is not None else []
    around = [path for path in found if path[-1].lineno <= line <= (path[-1].end_lineno or line)]
    return (around or found or [()])[-1]


def _paths(body: list[ast.stmt], names: list[str]) -> list[Path]:
    first, *rest = names
    kind = ast.ClassDef if rest else Function
    found = [each for each in statements(body) if isinstance(each, kind) and each.name == first]
    if not rest:
        return [(each,) for each in found]
    return [(each, *path) for each in found for path in _paths(each.body, rest)]


def hoisted(body: list[ast.stmt], path: Path) -> list[ast.stmt]:
    """Return a scope in which the first definition of `path` is a direct statement, in its place.

    Changes the classes of the path, and what follows in the scope: nothing there may replace the definition.
    """
    target = path[0]
    found: list[ast.stmt] = []
    for statement in body:
        if statement is target and isinstance(target, ast.ClassDef):
            target.body = hoisted(target.body, path[1:])
        if statement is not target and _holds(statement, target):
            found += hoisted([_Straight().visit(each) for each in _run_to(statement, target)], path)
        else:
            found.append(statement)
    at = found.index(target) + 1
    return found[:at] + [_KeepName(target.name).visit(each) for each in found[at:]]


def _holds(statement: ast.stmt, target: Definition) -> bool:
    return any(each is target for each in statements([statement]))


def _run_to(statement: ast.stmt, target: Definition) -> list[ast.stmt]:
    """Return the statements that run when the branch with `target` is taken."""
    suite = next(suite for suite in suites(statement) if any(each is target for each in statements(suite)))
    passing: list[ast.stmt] = [ast.Pass()]
    match statement:
        case ast.Try() | ast.TryStar() if suite is statement.body or suite is statement.orelse:
            return [*statement.body, *statement.orelse, *statement.finalbody]
        case ast.Try() | ast.TryStar() if suite is not statement.finalbody:
            return [*statement.body, *suite, *statement.finalbody]
        case ast.Try() | ast.TryStar():
            return [*statement.body, *statement.orelse, *suite]
        case ast.With():
            block = ast.With(items=statement.items, body=passing)
            return [ast.copy_location(block, statement), *suite]
        case ast.For():  # the loop variable gets its first value
            head: list[ast.stmt] = [ast.Break()] if suite is statement.body else statement.body
            loop = ast.For(target=statement.target, iter=statement.iter, body=head, orelse=[])
            return [ast.copy_location(loop, statement), *suite]
        case ast.Match():
            cases = [
                ast.match_case(pattern=case.pattern, guard=case.guard, body=passing)
                for case in statement.cases
                if case.body is suite
            ]
            return [ast.Match(subject=statement.subject, cases=cases), *suite]
        case ast.If() | ast.While():
            return [ast.Expr(statement.test), *suite]
        case _:
            return suite


class _Straight(ast.NodeTransformer):
    """Replace what would leave a block that was left out: `break`, `continue`, and `raise` outside `try`."""

    def __init__(self) -> None:
        self._tries = 0

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return ast.Pass()

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return ast.Pass()

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        return node if self._tries else ast.Pass()

    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.AST:
        self._tries += 1
        try:
            return self.generic_visit(node)
        finally:
            self._tries -= 1

    visit_TryStar = visit_Try

    def _unchanged(self, node: ast.AST) -> ast.AST:
        return node

    visit_For = visit_While = visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _unchanged


class _KeepName(ast.NodeTransformer):
    """Remove statements that would replace a name by something that does not come from it.

    `f = cache(f)` stays. A second `def f`, `from fast import f` and `f = None` are left out.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def _definition(self, node: Definition) -> ast.stmt:
        reads = any(_reads(decorator, self.name) for decorator in node.decorator_list)
        return ast.Pass() if node.name == self.name and not reads else node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return self._import(node)

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.stmt:
        node.names = [alias for alias in node.names if (alias.asname or alias.name) != self.name]
        return node if node.names else ast.Pass()

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        replaces = any(isinstance(each, ast.Name) and each.id == self.name for each in node.targets)
        return ast.Pass() if replaces and not _reads(node.value, self.name) else node

    def visit_Delete(self, node: ast.Delete) -> ast.stmt:
        node.targets = [
            each for each in node.targets if not (isinstance(each, ast.Name) and each.id == self.name)
        ]
        return node if node.targets else ast.Pass()


def _reads(node: ast.expr, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))
