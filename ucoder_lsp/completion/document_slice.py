"""The program of a candidate: the runnable slice of its document.

The candidate is inserted into the document. Most documents cannot run as they are (imports that start servers,
unfinished functions, code at module level). So the sandbox gets a slice: the function, and what it needs (`needs`).
A statement that fails there loses only its own names.
Each candidate reaches a *tier*: it parses, its names resolve, it runs, it agrees.
"""

from __future__ import annotations

import ast
import builtins
import copy
from dataclasses import dataclass
from enum import StrEnum

import parso
from parso.python.tree import Module
from pyflakes import checker, messages

from ucoder_lsp.completion.context import CompletionContext, Shape
from ucoder_lsp.completion.hoist import Definition, Function, Path, hoisted, locate
from ucoder_lsp.completion.needs import needed

SAFE_DECORATORS = ("staticmethod", "classmethod", "property")
"""Decorators that need nothing from the document."""


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
    """The program for the sandbox; empty when the candidate does not parse or no function can be called."""
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
    path = locate(tree, context.function, _line(context)) if tree is not None else ()
    if tree is None or (context.function is not None and not path) or _breaks(tree, context):
        return Runnable(Tier.BROKEN, "", text)
    target = path[-1] if path else None
    undefined = _undefined(tree)
    tier = Tier.PARSES if _unresolved(undefined, target) else Tier.RESOLVES
    if target is None:
        return Runnable(tier, "", text)
    own = ast.unparse(target)
    return Runnable(tier, ast.unparse(_program(tree, path, {name for name, _ in undefined})), own)


def parses_without_cursor_line(context: CompletionContext) -> bool:
    """Return whether the document parses apart from the cursor's line.

    Only then must a candidate parse. In brackets the line may be left out, or hold an expression.
    """
    return any(_parse(_with_line_replaced(context, filler)) is not None for filler in ("pass", "", "None"))


def _breaks(tree: ast.Module, context: CompletionContext) -> bool:
    """Return whether a document compiled before and no longer does, as with a `return` outside its function."""
    if _compiles(tree):
        return False
    before = _parse(_with_line_replaced(context, "pass"))
    return before is not None and _compiles(before)


def _compiles(tree: ast.Module) -> bool:
    try:
        compile(tree, "<document>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


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
            path = locate(tree, context.function, _line(context)) if tree is not None else ()
            if tree is not None and path:
                return ast.unparse(_module(tree, needed(hoisted(tree.body, path), path[0])))
    return ""


def _line(context: CompletionContext) -> int:
    """Return the cursor's 1-based line."""
    return context.prefix.count("\n") + 1


def _with_line_replaced(context: CompletionContext, statement: str) -> str:
    before, after = context.prefix.rpartition("\n"), context.suffix.partition("\n")
    return f"{before[0]}{before[1]}{context.indent}{statement}{after[1]}{after[2]}"


def _parse(document: str) -> ast.Module | None:
    try:
        return ast.parse(document)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _without_broken_statements(document: str) -> str:
    """Return the document with empty lines for its broken top-level statements.

    The rest of a line, or of a block, that parso reads as a statement after an error goes with it.
    """
    module: Module = parso.parse(document)
    codes = [(child.get_code(), _has_error(child) or child.start_pos[1] > 0) for child in module.children]
    return "".join("\n" * code.count("\n") if broken else code for code, broken in codes)


def _has_error(node: object) -> bool:
    if getattr(node, "type", "") in ("error_node", "error_leaf"):
        return True
    return any(_has_error(child) for child in getattr(node, "children", ()))


def _undefined(tree: ast.Module) -> list[tuple[str, tuple[int, int]]]:
    """Return each use of an undefined name, with its line and column."""
    kinds = (messages.UndefinedName, messages.UndefinedLocal)
    found = [each for each in checker.Checker(tree).messages if isinstance(each, kinds)]
    return [(str(each.message_args[0]), (each.lineno, each.col)) for each in found]


def _unresolved(undefined: list[tuple[str, tuple[int, int]]], target: Definition | None) -> bool:
    """Return True if the body of the target uses an undefined name.

    Its signature is not the candidate's. Without a target the whole program is checked.
    """
    if target is None:
        return bool(undefined)
    first, last = (
        (target.body[0].lineno, target.body[0].col_offset),
        (target.end_lineno or target.lineno, 10**9),
    )
    return any(first <= position <= last for _, position in undefined)


def _program(tree: ast.Module, path: Path, undefined: set[str]) -> ast.Module:
    """Return the program that the sandbox runs: the function and what it needs, guarded."""
    body = needed(hoisted(tree.body, path), path[0])
    deferred = any(_is_future(each, "annotations") for each in tree.body)
    if not deferred:
        for each in body:
            _TextAnnotations(undefined).visit(each)
    return _module(tree, _guard_all(body, path, deferred))


def _module(tree: ast.Module, body: list[ast.stmt]) -> ast.Module:
    """Return a module that begins with the `from __future__` lines of the document."""
    future = [each for each in tree.body if _is_future(each)]
    return ast.fix_missing_locations(ast.Module(body=[*future, *body], type_ignores=[]))


def _is_future(statement: ast.stmt, name: str | None = None) -> bool:
    if not isinstance(statement, ast.ImportFrom) or statement.module != "__future__":
        return False
    return name is None or any(alias.name == name for alias in statement.names)


def _guard_all(body: list[ast.stmt], path: Path, deferred: bool) -> list[ast.stmt]:
    """Guard the statements of a scope; what is on the path to the function is always defined."""
    found: list[ast.stmt] = []
    for each in body:
        if each is not path[0]:
            found.append(_guarded(each))
        elif isinstance(each, ast.ClassDef):
            each.body = _guard_all(each.body, path[1:], deferred)
            found.append(each)
        else:
            found.append(_always_defined(path[0], deferred))
    return found


def _guarded(statement: ast.stmt, otherwise: ast.stmt | None = None) -> ast.stmt:
    """Return the statement such that its failure loses only its own names."""
    match statement:
        case ast.If():
            statement.orelse = [_guarded(each) for each in statement.orelse]
            statement.body = [_guarded(each) for each in statement.body]
        case ast.With():
            statement.body = [_guarded(each) for each in statement.body]
        case ast.Pass() | ast.Raise() | ast.Break() | ast.Continue() | ast.Expr(value=ast.Constant()):
            return statement
        case ast.FunctionDef() if otherwise is None and _is_plain(statement):
            return statement
    # A program that ends here, with `sys.exit` after a failed import, is not the function's failure.
    failures = ast.Tuple([ast.Name("Exception", ast.Load()), ast.Name("SystemExit", ast.Load())], ast.Load())
    handler = ast.ExceptHandler(type=failures, name=None, body=[otherwise or ast.Pass()])
    return ast.Try(body=[statement], handlers=[handler], orelse=[], finalbody=[])


def _always_defined(function: Definition, deferred: bool) -> ast.stmt:
    """Return a function that exists also where a decorator or an annotation fails."""
    assert isinstance(function, Function)
    if _is_plain(function, deferred):
        return function
    bare = copy.deepcopy(function)
    bare.decorator_list = [each for each in bare.decorator_list if _is_safe(each)]
    _TextAnnotations(None).visit(bare)
    return _guarded(function, otherwise=bare)


def _is_plain(function: Function, deferred: bool = False) -> bool:
    """Return whether neither decorators nor annotations nor defaults can fail."""
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parameters += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    notes = [each.annotation for each in parameters if each.annotation is not None]
    notes += [function.returns] if function.returns is not None else []
    evaluated = [each for each in (*arguments.defaults, *arguments.kw_defaults) if each is not None]
    evaluated += [] if deferred else notes
    names = {part.id for each in evaluated for part in ast.walk(each) if isinstance(part, ast.Name)}
    calls = any(isinstance(part, ast.Call | ast.Attribute) for each in evaluated for part in ast.walk(each))
    safe = all(_is_safe(each) for each in function.decorator_list)
    return safe and not calls and all(hasattr(builtins, name) for name in names)


def _is_safe(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id in SAFE_DECORATORS


class _TextAnnotations(ast.NodeTransformer):
    """Turn annotations with an undefined name into text, which is not evaluated; with None, all of them.

    Annotations of local variables are never evaluated.
    """

    def __init__(self, undefined: set[str] | None) -> None:
        self._undefined = undefined

    def visit_FunctionDef(self, node: Function) -> Function:
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = self._text(argument.annotation)
        node.returns = self._text(node.returns)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        annotation = self._text(node.annotation)
        assert annotation is not None
        node.annotation = annotation
        return node

    def _text(self, annotation: ast.expr | None) -> ast.expr | None:
        if annotation is None or isinstance(annotation, ast.Constant):
            return annotation
        names = {part.id for part in ast.walk(annotation) if isinstance(part, ast.Name)}
        if self._undefined is not None and names.isdisjoint(self._undefined):
            return annotation
        return ast.Constant(ast.unparse(annotation))
