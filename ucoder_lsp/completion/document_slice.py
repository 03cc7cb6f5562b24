"""The program of a candidate: the runnable slice of its document.

The candidate is inserted into the document. Most documents cannot run as they are (imports that start servers,
unfinished functions, code at module level). So the sandbox gets a slice: definitions, assignments and guarded imports.
Each candidate reaches a *tier*: it parses, its names resolve, it runs, it agrees.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import parso
from parso.python.tree import Module
from pyflakes import checker, messages

from ucoder_lsp.completion.context import CompletionContext, Shape
from ucoder_lsp.completion.hints import with_safe_hints


class Tier(StrEnum):
    """The stage that a candidate reached; later members are better."""

    BROKEN = "does not parse"
    PARSES = "parses"
    RESOLVES = "names resolve"
    RUNS = "runs"
    AGREES = "agrees"

    @property
    def rank(self) -> int:
        return list(Tier).index(self)


@dataclass(frozen=True, slots=True)
class Runnable:
    """A candidate in its document."""

    tier: Tier
    source: str
    """The program for the sandbox; empty when the candidate does not parse."""
    function: str
    """Source of the enclosing function alone, to detect near-duplicates; the inserted text outside functions."""


def prepare(text: str, context: CompletionContext) -> Runnable:
    """Insert `text` at the cursor and make the program to run.

    Returns the program and the static tier of the candidate. When the document does not parse without the cursor's line
    either, its broken statements are left out (parso recovers). The candidate is then evaluated on the rest.
    """
    if context.shape is Shape.LINE and text.endswith(":"):
        text += f"\n{context.indent}    pass"  # the header of a block that is written next
    document = context.prefix + text + context.suffix
    tree = _parse(document)
    if tree is None and not parses_without_cursor_line(context):
        document = _without_broken_statements(document)
        tree = _parse(document)
    target = _find(tree, context.function) if tree is not None else None
    if tree is None or (context.function is not None and target is None):
        return Runnable(Tier.BROKEN, "", text)
    tier = Tier.PARSES if _unresolved(tree, target) else Tier.RESOLVES
    own = ast.unparse(target) if target is not None else text
    return Runnable(tier, ast.unparse(with_safe_hints(_slice(tree))), own)


def parses_without_cursor_line(context: CompletionContext) -> bool:
    """Return whether the document parses apart from the cursor's line.

    Only then must a candidate parse. In brackets the line may be left out, or hold an expression.
    """
    return any(_parse(_with_line_replaced(context, filler)) is not None for filler in ("pass", "", "None"))


def stub(context: CompletionContext) -> str:
    """Return the document with the cursor's function reduced to a stub.

    A stub is the signature and the docstring; probe inputs are generated from it. Empty when the cursor is not in a
    function that the sandbox can call.
    """
    if context.function is None:
        return ""
    fillers = ("pass", f"\n{context.indent}pass", "None", "None)")
    documents = [context.prefix + filler + context.suffix for filler in fillers]
    documents.append(_with_line_replaced(context, "pass"))
    for document in documents:
        for text in (document, _without_broken_statements(document)):
            tree = _parse(text)
            if tree is not None and _find(tree, context.function) is not None:
                return ast.unparse(_slice(tree))
    return ""


def _with_line_replaced(context: CompletionContext, statement: str) -> str:
    before, after = context.prefix.rpartition("\n"), context.suffix.partition("\n")
    return f"{before[0]}{before[1]}{context.indent}{statement}{after[1]}{after[2]}"


def _parse(document: str) -> ast.Module | None:
    try:
        return ast.parse(document)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _without_broken_statements(document: str) -> str:
    """Return the document without the top-level statements that contain a syntax error."""
    module: Module = parso.parse(document)
    kept = [child.get_code() for child in module.children if not _has_error(child)]
    return "".join(kept)


def _has_error(node: object) -> bool:
    if getattr(node, "type", "") in ("error_node", "error_leaf"):
        return True
    return any(_has_error(child) for child in getattr(node, "children", ()))


def _find(tree: ast.Module, dotted: str | None) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the function of that dotted name, or None.

    The last definition wins, as when the module runs.
    """
    if dotted is None:
        return None
    body: Sequence[ast.stmt] = tree.body
    found: ast.stmt | None = None
    for name in dotted.split("."):
        found = next((s for s in reversed(body) if getattr(s, "name", None) == name), None)
        if found is None:
            return None
        body = getattr(found, "body", ())
    return found if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _unresolved(tree: ast.Module, target: ast.FunctionDef | ast.AsyncFunctionDef | None) -> bool:
    """Return True if the target uses an undefined name.

    Without a target the whole program is checked.
    """
    first, last = (target.lineno, target.end_lineno or target.lineno) if target is not None else (0, 10**9)
    found = checker.Checker(tree).messages
    kinds = (messages.UndefinedName, messages.UndefinedLocal)
    return any(isinstance(message, kinds) and first <= message.lineno <= last for message in found)


def _slice(tree: ast.Module) -> ast.Module:
    """Keep definitions, assignments and imports of the top level.

    A failing import loses only its own names.
    """
    body: list[ast.stmt] = []
    for statement in tree.body:
        match statement:
            case ast.ImportFrom(module="__future__"):
                body.append(statement)
            case ast.Import() | ast.ImportFrom():
                body.append(_guarded(statement, "ImportError"))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                body.append(statement)
            case ast.Assign() | ast.AnnAssign():
                # A constant that cannot be computed here (a path, a connection) loses only its own name.
                body.append(_guarded(statement, "Exception"))
            case _:
                pass
    return ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))


def _guarded(statement: ast.stmt, exception: str) -> ast.Try:
    handler = ast.ExceptHandler(type=ast.Name(id=exception, ctx=ast.Load()), name=None, body=[ast.Pass()])
    return ast.Try(body=[statement], handlers=[handler], orelse=[], finalbody=[])
