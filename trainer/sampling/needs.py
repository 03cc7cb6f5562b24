"""The statements of a module that a function needs, by the names that it uses.

A function needs each name that is global in it, and so do the statements that bind such a name: a constant, a guarded
import, a table filled by a loop, a decorator, a base class. Tests, prints and main guards bind nothing that a function
needs, so they are left out.

What is not covered: a name that is bound behind the function's back (`globals()["x"] = 1`, `exec`), and a call whose
only trace is in another module (`locale.setlocale`).
"""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Iterator, Sequence

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = frozenset({"listcomp", "setcomp", "dictcomp", "genexpr"})
EFFECTS = frozenset({"input", "open", "exit", "quit", "breakpoint", "help"})
"""Builtins that no part of a solution calls while it loads."""
SETTINGS = frozenset({"setrecursionlimit", "set_int_max_str_digits", "stack_size", "seed", "setcontext"})
"""Functions that change how the interpreter or a module computes."""


def names_used(statement: ast.stmt, *, when_called: bool) -> set[str]:
    """Return the global names that a top-level statement uses.

    With `when_called`, also those that its functions use when they are called later.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = symtable.symtable(ast.unparse(statement), "statement", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return set()  # such a statement does not compile, whatever is kept beside it
    return {
        symbol.get_name()
        for scope in _scopes(table, when_called)
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or scope is table)
    }


def _scopes(table: symtable.SymbolTable, when_called: bool) -> Iterator[symtable.SymbolTable]:
    yield table
    for scope in table.get_children():
        # A class and a comprehension run with the statement; a function and a lambda later.
        if when_called or scope.get_type() == "class" or scope.get_name() in COMPREHENSIONS:
            yield from _scopes(scope, when_called)


def names_bound(statement: ast.stmt, helpers: Sequence[ast.stmt] = ()) -> set[str]:
    """Return the names that a top-level statement binds or changes.

    `helpers` are the functions that it may call for their effect on a global name.
    """
    bound = set()
    for node in _here(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, DEFINITIONS):
            bound.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            bound |= _root(node)
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            bound |= _changed_by(node.value, helpers)
    return bound


def _changed_by(call: ast.Call, helpers: Sequence[ast.stmt]) -> set[str]:
    """Return the names that a call changes, whose result is not used."""
    if isinstance(call.func, ast.Attribute):
        return _root(call.func)
    for helper in helpers:
        if (
            isinstance(helper, DEFINITIONS)
            and isinstance(call.func, ast.Name)
            and helper.name == call.func.id
        ):
            declared = {
                name for node in ast.walk(helper) if isinstance(node, ast.Global) for name in node.names
            }
            inner = [names_bound(node) for node in helper.body]
            return declared | (set().union(*inner) & names_used(helper, when_called=True))
    return set()


def _root(node: ast.expr) -> set[str]:
    """Return the name that a chain of attributes, items and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _here(statement: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs with a statement, without the bodies of functions and the variables of comprehensions."""
    pending = [statement]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.comprehension):
            pending += [node.iter, *node.ifs]
        elif not isinstance(node, (*DEFINITIONS, ast.Lambda)):
            pending += ast.iter_child_nodes(node)


def is_setting(statement: ast.stmt) -> bool:
    """Whether a statement changes how later code computes, such as `sys.setrecursionlimit(10 ** 6)`."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        return isinstance(called, ast.Attribute) and called.attr in SETTINGS
    # `getcontext().prec = 50`
    return (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Attribute)
        and isinstance(statement.targets[0].value, ast.Call)
    )


def only_runs(statement: ast.stmt, function: str) -> bool:
    """Whether a statement is not part of a solution: a test, a main guard, or something with an effect outside."""
    if isinstance(statement, ast.Assert):
        return True
    for node in _here(statement):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Name) and node.id == "__name__" and isinstance(statement, ast.If):
            return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {*EFFECTS, function}
        ):
            return True
    return False


def definition(module: Sequence[ast.stmt], function: str) -> ast.stmt | None:
    """Return the first top-level statement that defines a function, None without one.

    It is a `def`, also one in a `try` or an `if`. Without any, it is an assignment: `f = lambda x: x`, `f = other`.
    """
    for statement in module:
        if not isinstance(statement, ast.ClassDef) and any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
            for node in _here(statement)
        ):
            return statement
    for statement in module:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(
                ast.Name(id=name), value=value
            ):
                callable_ = isinstance(value, ast.Lambda | ast.Name | ast.Attribute | ast.Call)
                if name == function and callable_ and not only_runs(statement, function):
                    return statement
    return None


def needed(
    module: Sequence[ast.stmt], target: ast.stmt, function: str, kept: Sequence[ast.stmt]
) -> list[ast.stmt]:
    """Return the kept statements of a module and those that they need, in order.

    `target` defines the function and is always kept. A name that is bound before the function is not bound again behind
    it: what follows a function is mostly its tests.
    """
    place = {id(statement): index for index, statement in enumerate(module)}
    at = place[id(target)]
    helpers = [statement for statement in module if isinstance(statement, DEFINITIONS)]
    binds = [names_bound(statement, helpers) for statement in module]
    before = set().union(*binds[: at + 1])
    chosen = {place[id(statement)] for statement in kept} | {at}
    chosen |= {i for i, s in enumerate(module[:at]) if is_setting(s) and not only_runs(s, function)}
    names = names_used(target, when_called=True)
    for index in chosen:
        names |= names_used(module[index], when_called=False)
    whole = {at}
    while True:
        more = {
            index
            for index, statement in enumerate(module)
            if index not in whole
            and binds[index] & (names if index < at else names - before)
            and (index in chosen or not only_runs(statement, function))
        }
        if not more:
            return [module[index] for index in sorted(chosen | whole)]
        whole |= more
        for index in more:
            names |= names_used(module[index], when_called=True)
