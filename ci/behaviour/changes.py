"""Find the functions that a patch changes, and their users, from syntax.

Users show how a changed function behaves. The two sets err on opposite sides. *Touched* is rather too large
than too small, because a function that is not touched is not compared. So forms are exact, and a statement
that runs while the module loads touches everything, unless it can only bind a name. *Users* is rather too
small than too large, because a user counts as evidence that a function was reached.

Not covered: effects of a function or module on others while it runs (a call that replaces a global, an import
that changes another module); callers in *other* modules; docstrings that a program reads.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.inputs.target import FunctionNode, parse_quietly

_INERT = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List, ast.Set, ast.Dict),
    *(ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator, ast.expr_context),
)
"""Expressions of these run no code but special methods; a new or changed one touches everything."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The effect of one statement while its module loads.

    Of a function or class, that is the effect of its header.
    """

    form: str
    binds: frozenset[str]
    """The names that it binds. Empty: it may have other effects, and any function may depend on it."""
    mentions: frozenset[str]
    """Names and attributes in what it evaluates."""


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """The parts of a module, by qualified name: `f`, `Class.method`."""

    functions: Mapping[str, str] = field(default_factory=dict)
    """Each function's exact form, without its docstring."""
    mentions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Every name and attribute in a function: all that it may use."""
    uses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The names that a function certainly uses: globals, `Class.method`, and `self.method` of its own class."""
    statements: tuple[Statement, ...] = ()
    """Statements that run while the module loads, in order."""


def module_shape(source: str) -> ModuleShape | None:
    """Take a module apart.

    Returns None for source that does not parse or nests too deeply.
    """
    tree = parse_quietly(source)
    if tree is None:
        return None
    functions: dict[str, str] = {}
    mentions: dict[str, frozenset[str]] = {}
    uses: dict[str, frozenset[str]] = {}
    statements: list[Statement] = []
    try:
        for owner, node in _loaded(tree):
            statements.append(_statement(owner, node))
            if isinstance(node, FunctionNode):
                name = f"{owner}.{node.name}" if owner else node.name
                functions[name] = _form(node, [s for s in node.body if not _is_idle(s)])
                mentions[name] = _mentioned(node)
                uses[name] = _used(node, owner)
    except RecursionError:
        return None
    return ModuleShape(functions, mentions, uses, tuple(statements))


def touched_functions(base: ModuleShape, patched: ModuleShape) -> frozenset[str]:
    """List base's functions that the patch changes, deletes or affects otherwise."""
    everything = frozenset(base.functions)
    changed = {name for name, form in base.functions.items() if patched.functions.get(name) != form}
    before, after = ([statement.form for statement in module.statements] for module in (base, patched))
    kept = set(before) & set(after)
    if [form for form in before if form in kept] != [form for form in after if form in kept]:
        return everything
    if any(_is_special(name.rpartition(".")[2]) for name in changed):
        return everything  # Python calls it without its name appearing
    both = (*base.statements, *patched.statements)
    bound: set[str] = set()
    moved = [statement for statement in both if statement.form not in kept]
    while moved:
        if not all(statement.binds for statement in moved):
            return everything
        bound.update(*(statement.binds for statement in moved))
        # Statements that compute further values from a changed name while the module loads.
        moved = [s for s in both if s.mentions & bound and not (s.binds and s.binds <= bound)]
    dependent = {f for f, names in base.mentions.items() if bound & (names | {f.partition(".")[0]})}
    return frozenset(changed | dependent)


def users_of(module: ModuleShape, names: Iterable[str]) -> frozenset[str]:
    """Add to `names` every function that certainly uses one of them.

    A use through other functions counts too.
    """
    found = set(names)
    while more := {name for name, used in module.uses.items() if used & found} - found:
        found |= more
    return frozenset(found)


def is_public(qualified: str) -> bool:
    """Return True if no part of the name begins with an underscore."""
    return not any(part.startswith("_") for part in qualified.split("."))


def _loaded(node: ast.Module | ast.ClassDef, owner: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield every statement that loading the module runs, with its class.

    Each imported name is a statement of its own.
    """
    for child in node.body:
        if isinstance(child, ast.Import):
            yield from ((owner, ast.Import([alias])) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((owner, ast.ImportFrom(child.module, [alias], child.level)) for alias in child.names)
        elif not _is_idle(child):
            yield owner, child
        if isinstance(child, ast.ClassDef):
            yield from _loaded(child, f"{owner}.{child.name}" if owner else child.name)


def _statement(owner: str, node: ast.stmt) -> Statement:
    evaluated: list[ast.AST | None]
    if isinstance(node, FunctionNode):
        defaults = [*node.args.defaults, *node.args.kw_defaults]
        annotations = [inner.annotation for inner in ast.walk(node.args) if isinstance(inner, ast.arg)]
        evaluated = [*node.decorator_list, *defaults]
        names = _if_inert([node.name], [*defaults, *annotations, node.returns], node.decorator_list)
        form = _form(node, [])
    elif isinstance(node, ast.ClassDef):
        evaluated = [*node.decorator_list, *node.bases, *node.keywords]
        names = _if_inert([node.name], node.bases, [*node.decorator_list, *node.keywords])
        form = _form(node, [])
    else:
        evaluated = [node.value if isinstance(node, ast.AnnAssign) else node]
        names = _bound(node)
        form = ast.dump(node)
    if owner and names and (names == {"__init__"} or not isinstance(node, FunctionNode)):
        # The class itself changes too: an attribute may be the field of a dataclass.
        names |= {owner.partition(".")[0]}
    mentions = frozenset[str]().union(*(_mentioned(part) for part in evaluated if part is not None))
    return Statement(f"{owner}: {form}", names, mentions)


def _form(node: FunctionNode | ast.ClassDef, body: list[ast.stmt]) -> str:
    """The exact form of a definition with another body."""
    fields = {name: value for name, value in ast.iter_fields(node) if name != "body"}
    return ast.dump(type(node)(**fields, body=body))


def _is_idle(statement: ast.stmt) -> bool:
    """Return True for `pass` and a bare constant, such as a docstring."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_special(name: str) -> bool:
    """Return True if Python itself looks up the name.

    `__init__` is left out: it runs only where its class is named.
    """
    return name.startswith("__") and name.endswith("__") and name != "__init__"


def _bound(statement: ast.stmt) -> frozenset[str]:
    """The names that a statement binds; empty when it may do more."""
    match statement:
        case ast.Import(names=[alias]) if _is_standard(alias.name):
            return _if_inert([alias.asname or alias.name.partition(".")[0]])
        case ast.ImportFrom(module=str(module), names=[alias], level=0) if _is_standard(module):
            return _if_inert([alias.asname or alias.name])
        case ast.Assign(targets=targets, value=value):
            return _if_inert([t.id if isinstance(t, ast.Name) else "*" for t in targets], [value])
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return _if_inert([name], [annotation, value])
    return frozenset()


def _is_standard(module: str) -> bool:
    """Return True if a module is part of the standard library.

    Importing one has no effect here: `ci.patch.parse` keeps patches from replacing such modules.
    """
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top != "__future__"


def _if_inert(
    names: Sequence[str], values: Iterable[ast.AST | None] = (), calls: Sequence[ast.AST] = ()
) -> frozenset[str]:
    """Return `names`, or none where evaluating the values may run code.

    A special name or `*` gives none too.
    """
    parts = (part for value in values if value is not None for part in ast.walk(value))
    inert = not calls and all(isinstance(part, _INERT) for part in parts)
    ordinary = not any(name == "*" or _is_special(name) for name in names)
    return frozenset(names) if inert and ordinary else frozenset()


def _mentioned(node: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names.add(name)
            case ast.alias(name=name):
                names.update(name.split("."))
    return frozenset(names)


def _used(function: FunctionNode, owner: str) -> frozenset[str]:
    nodes = list(ast.walk(function))
    local = {node.arg for node in nodes if isinstance(node, ast.arg)}
    local |= {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    local |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    local |= {node.name for node in nodes if isinstance(node, FunctionNode) and node is not function}
    # Probing a method constructs an object first.
    used = {f"{owner}.__init__"} if owner and not function.decorator_list else set()
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attribute) if owner:
                used.add(f"{owner}.{attribute}")
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in local:
                used.add(f"{name}.{attribute}")
            case ast.Call(func=ast.Name(id=name)) if name not in local:
                used.add(f"{name}.__init__")
            case ast.Name(id=name) if name not in local:
                used.add(name)
    return frozenset(used)
