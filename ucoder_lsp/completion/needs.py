"""Find what a function needs from its document: which statements bind or change the names that it uses.

The rule is static and errs on the side of keeping. It follows names through functions and classes of the document, also
through decorators that register. It does not follow values: an object changed under a second name is not seen.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Callable, Collection, Iterable

from ucoder_lsp.completion.hoist import Definition, Function, statements

Wanted = Callable[[Collection[str]], bool]
"""Whether at least one of some names is needed."""

STARTERS = frozenset(
    {"run", "main", "mainloop", "serve", "serve_forever", "run_forever", "start", "show", "exit"}
)
"""Methods that start something and often do not return; they do not prepare their object."""
DYNAMIC = frozenset({"globals", "locals", "vars", "eval", "exec"})
"""Functions that can use any name of the document."""
_CHANGING_BUILTINS = ("setattr", "delattr", "next")


class Facts(ast.NodeVisitor):
    """The names that a statement of one scope binds, changes and calls, without nested function bodies."""

    def __init__(self, *nodes: ast.AST) -> None:
        self.binds: set[str] = set()
        self.changes: set[str] = set()
        self.calls: set[str] = set()
        for node in nodes:
            self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.binds.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._change(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._change(node)
        self.generic_visit(node)

    def _change(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.changes |= roots(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Take a call whose value is not used as a change of its object and of its arguments."""
        if isinstance(call := node.value, ast.Call):
            function = call.func
            if isinstance(function, ast.Attribute):
                self.changes |= roots(function) if function.attr not in STARTERS else set()
            known = isinstance(function, ast.Name) and hasattr(builtins, function.id)
            if not known or ast.unparse(function) in _CHANGING_BUILTINS:
                self.changes |= {each.id for each in call.args if isinstance(each, ast.Name)}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.calls |= roots(node.func)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: Definition) -> None:
        self.binds.add(node.name)
        outer = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):  # a base may register its subclasses, and so may a metaclass
            outer += [*node.bases, *(keyword.value for keyword in node.keywords)]
            inner = Facts(*node.body)
            self.changes |= inner.changes - inner.binds
            self.calls |= inner.calls
        for each in outer:
            self.changes |= roots(each)
            self.calls |= roots(each)
            self.visit(each)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Leave the body out: it does not run here."""

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Leave the target out: it is bound in the comprehension only."""
        for each in (node.iter, *node.ifs):
            self.visit(each)

    def visit_alias(self, node: ast.alias) -> None:
        self.binds.add(bound_by(node))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest)
        self.generic_visit(node)

    def _bind(self, name: str | None) -> None:
        if name is not None:
            self.binds.add(name)


class Definitions:
    """The functions and classes of a module, with what calling each of them changes."""

    def __init__(self, body: list[ast.stmt]) -> None:
        self._nodes: dict[str, list[Definition]] = {}
        for statement in statements(body):
            if isinstance(statement, Definition):
                self._nodes.setdefault(statement.name, []).append(statement)
        self._effects: dict[str, tuple[set[str], set[str]]] = {}

    def effects(self, name: str) -> tuple[set[str], set[str]]:
        """Return the global names that calling this name changes, and the names that it calls."""
        if name not in self._effects:
            found = [_effects(node) for node in self._nodes.get(name, ())]
            self._effects[name] = (
                set().union(*(each[0] for each in found)),
                set().union(*(each[1] for each in found)),
            )
        return self._effects[name]

    def called(self, names: Iterable[str]) -> set[str]:
        """Return the names and all that calling them calls."""
        found, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.effects(name)[1]
        return found

    def changed(self, facts: Facts) -> set[str]:
        """Return the global names that a statement with these facts binds or changes."""
        by_calls = (self.effects(name)[0] for name in self.called(facts.calls))
        return facts.binds | facts.changes | set().union(*by_calls)


def _effects(definition: Definition) -> tuple[set[str], set[str]]:
    """Return the global names that a function or any method changes, and the names that it calls."""
    changes: set[str] = set()
    calls: set[str] = set()
    nodes = list(ast.walk(definition))
    declared = {name for each in nodes if isinstance(each, ast.Global) for name in each.names}
    for scope in nodes:
        if not isinstance(scope, Function | ast.ClassDef):
            continue
        facts = Facts(*scope.body)
        local = facts.binds - declared
        if isinstance(scope, Function):
            local |= {each.arg for each in ast.walk(scope.args) if isinstance(each, ast.arg)}
        changes |= (facts.changes - local) | (facts.binds & declared)
        calls |= facts.calls
    return changes, calls


def roots(node: ast.expr) -> set[str]:
    """Return the name that an attribute, an item or a call starts from, as a set of at most one."""
    while not isinstance(node, ast.Name):
        match node:
            case ast.Attribute() | ast.Subscript() | ast.Starred():
                node = node.value
            case ast.Call():
                node = node.func
            case _:
                return set()
    return {node.id}


def bound_by(alias: ast.alias) -> str:
    """Return the name that one part of an import binds; `*` for all names of a module."""
    return alias.asname or alias.name.partition(".")[0]


def used_by(statement: ast.stmt) -> set[str]:
    """Return the global names that a statement uses, nested functions and text annotations included."""
    table = symtable.symtable(ast.unparse(statement), "<slice>", "exec")
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        found |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
        waiting += inner.get_children()
    for annotation in _annotations(statement):
        found |= _names_in(annotation)
    return found


def _annotations(statement: ast.stmt) -> list[ast.expr]:
    """Return all annotations of a statement."""
    nodes = list(ast.walk(statement))
    found = [each.annotation for each in nodes if isinstance(each, ast.arg | ast.AnnAssign)]
    found += [each.returns for each in nodes if isinstance(each, Function)]
    return [each for each in found if each is not None]


def _names_in(annotation: ast.expr) -> set[str]:
    names: set[str] = set()
    for part in ast.walk(annotation):
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            try:
                names |= _names_in(ast.parse(part.value, mode="eval").body)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # a text that is not an annotation, such as Literal["a b"]
    return names


def needed(body: list[ast.stmt], target: Definition) -> list[ast.stmt]:
    """Return the statements of a module that `target`, one of them, needs; in order, with `target`.

    Code that calls the target is left out, unless it binds a needed name: it uses the function, and does not prepare
    it. So is `if __name__ == "__main__"`.
    """
    reducer = _Reducer(body, target)
    names = used_by(target)
    seen: set[ast.stmt] = {target}
    while True:
        kept = [each if each is target else reducer.reduced(each, _wanted(names)) for each in body]
        found = [each for each in kept if each is not None]
        before = len(names)
        for each in found:
            if each not in seen:  # a reduced statement is a new one each time
                seen.add(each)
                names = names | used_by(each)
        if len(names) == before:
            return found


def _wanted(names: set[str]) -> Wanted:
    if names & DYNAMIC:
        return bool
    return lambda some: not names.isdisjoint(some)


class _Reducer:
    """Reduces the statements of one module to what is wanted."""

    def __init__(self, body: list[ast.stmt], target: Definition) -> None:
        self._definitions = Definitions(body)
        self._target = target.name
        self._facts: dict[ast.stmt, tuple[set[str], set[str], bool]] = {}

    def reduced(self, statement: ast.stmt, wanted: Wanted) -> ast.stmt | None:
        """Return the part of a statement that binds or changes a wanted name, or None."""
        binds, changed, uses_target = self._of(statement)
        if not wanted(changed) and "*" not in binds:
            return None
        match statement:
            case ast.ImportFrom(module="__future__"):
                return None  # the caller puts these first
            case ast.Import(names=names) if len(names) > 1:
                return ast.Import(names=[each for each in names if wanted([bound_by(each)])])
            case ast.ImportFrom(names=names) if len(names) > 1:
                kept = [each for each in names if wanted([bound_by(each)])]
                return ast.ImportFrom(module=statement.module, names=kept, level=statement.level)
            case ast.If():
                return self._if(statement, wanted)
            case ast.With():
                reduced = ast.With(items=statement.items, body=self._suite(statement.body, wanted))
                return ast.copy_location(reduced, statement)
            case ast.Match():
                cases = [
                    ast.match_case(each.pattern, each.guard, self._suite(each.body, wanted))
                    for each in statement.cases
                ]
                return ast.Match(subject=statement.subject, cases=cases)
            case ast.For() | ast.While() if uses_target or _is_endless(statement):
                return None
            case ast.Expr() if uses_target and not wanted(binds):
                return None
            case _:
                return statement

    def _of(self, statement: ast.stmt) -> tuple[set[str], set[str], bool]:
        """Return what a statement binds, what it binds or changes, and whether it calls the target."""
        if statement not in self._facts:
            facts = Facts(statement)
            uses_target = self._target in self._definitions.called(facts.calls)
            self._facts[statement] = facts.binds, self._definitions.changed(facts), uses_target
        return self._facts[statement]

    def _if(self, statement: ast.If, wanted: Wanted) -> ast.stmt | None:
        if "__name__" in ast.unparse(statement.test) and "__main__" in ast.unparse(statement.test):
            return None
        body, orelse = (self._suite(each, wanted) for each in (statement.body, statement.orelse))
        return ast.If(test=statement.test, body=body, orelse=orelse if statement.orelse else [])

    def _suite(self, body: list[ast.stmt], wanted: Wanted) -> list[ast.stmt]:
        found = [each if _is_control(each) else self.reduced(each, wanted) for each in body]
        return [each for each in found if each is not None] or [ast.Pass()]


def _is_control(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Raise | ast.Break | ast.Continue)


def _is_endless(loop: ast.For | ast.While) -> bool:
    """Return whether a loop has no end but an exception: it is the main loop of a script."""
    if not isinstance(loop, ast.While) or not isinstance(loop.test, ast.Constant) or not loop.test.value:
        return False
    return not any(isinstance(each, ast.Break) for each in statements(loop.body))
