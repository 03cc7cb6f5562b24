"""Type hints that must not stop a program: those with names that may be missing in the jail.

A hint is evaluated when its function is defined. In a document that does not import `List` yet, or whose `pandas` the
jail lacks, every candidate would end with a NameError. Such hints become text, as `from __future__ import annotations`
makes them. All others stay as they are, because a data class or a decorator may read them.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Sequence

_BUILTIN = frozenset(dir(builtins))


def with_safe_hints(module: ast.Module) -> ast.Module:
    """Turn the hints of a module that may fail into text, in place; returns the module."""
    known = _known(module.body)
    for node in ast.walk(module):
        match node:
            case ast.arg(annotation=hint) | ast.AnnAssign(annotation=hint):
                if hint is not None and not _names(hint) <= known:
                    node.annotation = _text(hint)
            case ast.FunctionDef(returns=hint) | ast.AsyncFunctionDef(returns=hint):
                if hint is not None and not _names(hint) <= known:
                    node.returns = _text(hint)
    return module


def _known(body: Sequence[ast.stmt]) -> frozenset[str]:
    """Return the names that are certainly bound: by the document itself or the standard library."""
    known = set(_BUILTIN)
    for statement in body:
        known |= _bound(statement, known)
    return frozenset(known)


def _bound(statement: ast.stmt, known: set[str]) -> set[str]:
    match statement:
        case ast.Import(names=names):
            return {n.asname or n.name.split(".")[0] for n in names if _is_standard(n.name)}
        case ast.ImportFrom(module=str(module), names=names, level=0) if _is_standard(module):
            return {n.asname or n.name for n in names}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.ClassDef(name=name, bases=bases) if set().union(*map(_names, bases)) <= known:
            return {name}
        case ast.Assign(targets=targets, value=value) if _names(value) <= known:
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _names(value) <= known:
            return {name}
        case ast.Try(body=body):  # an import or a constant that the slice has guarded
            return set().union(*(_bound(inner, known) for inner in body))
    return set()


def _is_standard(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names


def _names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def _text(hint: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Constant(ast.unparse(hint)), hint)
