"""Read a target function's parameters, docstring and owner from source text alone.

The text comes from an editor: the function may have no body yet, and the rest of the file may not parse.
Nothing is executed or evaluated here; annotations stay syntax (`sandbox.inputs.kinds` reads them).
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass, field, replace

from sandbox.inputs.names import Names, names_of

MAX_SOURCE_CHARS = 400_000
_HEADER_LINES = 40


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a probe may fill."""

    name: str
    annotation: ast.expr | None = None
    default: ast.expr | None = None
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The function to probe."""

    name: str
    """The name in a probe: `f`, or `Class.method`."""
    parameters: tuple[Parameter, ...]
    """Without `self` or `cls`, and without `*args` and `**kwargs`, which probes leave empty."""
    docstring: str
    returns: ast.expr | None
    owner: str = ""
    """The class of an instance method, whose probes must build an object first; otherwise empty."""
    constructor: tuple[Parameter, ...] = ()
    """Parameters of the owner's `__init__`, or the fields of a dataclass."""
    is_property: bool = False
    """True for a method that is read, not called."""
    names: Names = field(default_factory=Names, compare=False)
    """What the names of the document mean."""


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def parse_quietly(source: str) -> ast.Module | None:
    """Parse without warnings about escapes.

    Returns None for text that is not Python (yet).
    """
    if len(source) > MAX_SOURCE_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def find_target(source: str, function: str) -> Target | None:
    """Find `function` (`name` or `Class.name`) in `source`.

    None where no signature can be read. Of several definitions the last one counts, as in Python.
    """
    owner_name, _, name = function.rpartition(".")
    tree = parse_quietly(source)
    if tree is not None:
        found = _find_in_tree(tree, owner_name, name)
        if found is not None:
            return replace(found, names=names_of(tree))
    found = _find_in_fragment(source, owner_name, name)
    if found is None:
        return None
    before = source[: _header(source, name)[-1].start()]
    tree = tree or parse_quietly(before) or parse_quietly(f"{before}\n    pass")
    return replace(found, names=names_of(tree)) if tree is not None else found


def _header(source: str, name: str) -> list[re.Match[str]]:
    """Find the beginnings of the definitions of a function in text."""
    return list(re.finditer(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", source, re.MULTILINE))


def _find_in_tree(tree: ast.Module, owner_name: str, name: str) -> Target | None:
    body: list[ast.stmt] = tree.body
    owner: ast.ClassDef | None = None
    for part in owner_name.split(".") if owner_name else ():
        classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == part]
        if not classes:
            return None
        owner = classes[-1]
        body = owner.body
    functions = [n for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name]
    return _target_of(functions[-1], owner_name, owner) if functions else None


def _find_in_fragment(source: str, owner_name: str, name: str) -> Target | None:
    """Read signature and docstring out of text that does not parse."""
    matches = _header(source, name)
    if not matches:
        return None
    lines = source[matches[-1].start() :].lstrip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    body_indent = " " * (indent + 4)
    for n_lines in range(1, min(len(lines), _HEADER_LINES) + 1):
        header = lines[:n_lines]
        if not header[-1].split("#")[0].rstrip().endswith(":"):
            continue
        if parse_quietly(textwrap.dedent("\n".join([*header, f"{body_indent}pass"]))) is None:
            continue
        node = _with_docstring(header, lines[n_lines:], body_indent)
        owner = _class_fragment(source, owner_name, matches[-1].start()) if owner_name else None
        return _target_of(node, owner_name, owner) if node is not None else None
    return None


def _with_docstring(header: list[str], rest: list[str], body_indent: str) -> FunctionNode | None:
    """Parse the header with its docstring, if that is complete."""
    best = parse_quietly(textwrap.dedent("\n".join([*header, f"{body_indent}pass"])))
    if rest and re.match(r"\s*[rRuU]?(\"|')", next((line for line in rest if line.strip()), "")):
        for n_lines in range(1, min(len(rest), 200) + 1):
            tree = parse_quietly(textwrap.dedent("\n".join([*header, *rest[:n_lines]])))
            if tree is not None and ast.get_docstring(_first_function(tree) or ast.parse("")) is not None:
                best = tree
                break
    return _first_function(best) if best is not None else None


def _first_function(tree: ast.Module) -> FunctionNode | None:
    return next((n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)), None)


def _class_fragment(source: str, owner_name: str, end: int) -> ast.ClassDef | None:
    """Parse the owner's class up to the function, to find its constructor."""
    last = owner_name.rpartition(".")[2]
    starts = list(
        re.finditer(rf"^[ \t]*(?:@.*\n[ \t]*)*class[ \t]+{re.escape(last)}\b", source[:end], re.MULTILINE)
    )
    if not starts:
        return None
    lines = source[starts[-1].start() : end].rstrip().splitlines()
    while lines and (lines[-1].lstrip().startswith("@") or not lines[-1].strip()):
        lines.pop()
    tree = parse_quietly(textwrap.dedent("\n".join(lines)))
    if tree is None:
        return None
    return next((n for n in tree.body if isinstance(n, ast.ClassDef)), None)


def _target_of(node: FunctionNode, owner_name: str, owner: ast.ClassDef | None) -> Target:
    parameters = list(parameters_of(node))
    decorators = {decorator_name(item) for item in node.decorator_list}
    is_instance_method = bool(owner_name) and not decorators & {"staticmethod", "classmethod"}
    if bool(owner_name) and "staticmethod" not in decorators and parameters:
        parameters = parameters[1:]
    return Target(
        name=f"{owner_name}.{node.name}" if owner_name else node.name,
        parameters=tuple(parameters),
        docstring=ast.get_docstring(node) or "",
        returns=node.returns,
        owner=owner_name if is_instance_method else "",
        is_property=bool(decorators & {"property", "cached_property"}),
        constructor=_constructor(owner) if is_instance_method and owner is not None else (),
    )


def parameters_of(node: FunctionNode) -> list[Parameter]:
    """Return the parameters of a definition, `self` included, without `*args` and `**kwargs`."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults += arguments.defaults
    found = [Parameter(a.arg, a.annotation, d) for a, d in zip(positional, defaults, strict=True)]
    found += [
        Parameter(a.arg, a.annotation, d, keyword_only=True)
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return found


def _constructor(owner: ast.ClassDef) -> tuple[Parameter, ...]:
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return tuple(parameters_of(node)[1:])
    if "dataclass" in {decorator_name(item) for item in owner.decorator_list}:
        return tuple(
            Parameter(node.target.id, node.annotation, node.value)
            for node in owner.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        )
    return ()


def decorator_name(node: ast.expr) -> str:
    """Return the last name of a decorator, of a call or of an attribute."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
