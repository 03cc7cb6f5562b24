"""Read plain data out of syntax.

That is literals, small arithmetic, and calls with literal arguments. Everything is read with `ast`: sizes are
bounded and nothing is evaluated. What cannot be read that way is refused, never guessed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable

from sandbox.inputs.names import Names
from sandbox.inputs.target import parse_quietly
from sandbox.program import Built, Call

MAX_LITERAL_CHARS = 2_000
_NUMBER = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.FloorDiv, ast.Mod)


class NotALiteral(ValueError):
    """Raised for an expression that is not plain data."""


def literal(node: ast.expr, depth: int = 0) -> object:
    """Return the plain data of a literal expression or of small arithmetic.

    Raises `NotALiteral` for everything else, `list * int` and other ways to grow without bound included.
    """
    if depth > 30:
        raise NotALiteral("nested too deeply")
    if isinstance(node, ast.Constant):
        if node.value is Ellipsis or isinstance(node.value, complex):
            raise NotALiteral("not plain data")
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [literal(item, depth + 1) for item in node.elts]
        return _collect(node, items)
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise NotALiteral("a dict display with **")
        try:
            return {
                literal(k, depth + 1): literal(v, depth + 1)
                for k, v in zip(node.keys, node.values, strict=True)
                if k is not None
            }
        except TypeError as error:
            raise NotALiteral(str(error)) from None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = literal(node.operand, depth + 1)
        if isinstance(number, int | float):
            return -number if isinstance(node.op, ast.USub) else +number
    if isinstance(node, ast.BinOp) and isinstance(node.op, _NUMBER):
        return _arithmetic(node, literal(node.left, depth + 1), literal(node.right, depth + 1))
    if isinstance(node, ast.Call):
        return _builtin_value(node, depth)
    raise NotALiteral(type(node).__name__)


def _collect(node: ast.expr, items: list[object]) -> object:
    try:
        return (
            items
            if isinstance(node, ast.List)
            else tuple(items)
            if isinstance(node, ast.Tuple)
            else set(items)
        )
    except TypeError as error:
        raise NotALiteral(str(error)) from None


def _builtin_value(node: ast.Call, depth: int) -> object:
    """Return the value of `set()`, `list([...])` or `float("inf")`.

    Some values have no literal.
    """
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in ("set", "frozenset", "tuple", "list", "dict") and not node.keywords and len(node.args) <= 1:
        makers: dict[str, Callable[..., object]] = {"set": set, "frozenset": frozenset, "tuple": tuple}
        makers |= {"list": list, "dict": dict}
        try:
            return makers[name](*(literal(item, depth + 1) for item in node.args))
        except (TypeError, ValueError) as error:
            raise NotALiteral(str(error)) from None
    if name == "float" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
        text = str(node.args[0].value).strip().lower()
        if text in ("inf", "-inf", "nan", "infinity", "-infinity"):
            return float(text)
    raise NotALiteral("a call")


def _arithmetic(node: ast.BinOp, left: object, right: object) -> object:
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise NotALiteral("arithmetic on something other than numbers")
    if isinstance(node.op, ast.Pow) and (abs(right) > 64 or abs(left) > 1e6):
        raise NotALiteral("a power that is too large")
    try:
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
            case ast.FloorDiv():
                return left // right
            case ast.Mod():
                return left % right
            case _:
                power = left**right
    except (ArithmeticError, ValueError) as error:
        raise NotALiteral(str(error)) from None
    if not isinstance(power, int | float):
        raise NotALiteral("a complex number")
    return power


def parse_literal(text: str) -> object:
    """Return the plain data that `text` represents; raises `NotALiteral`."""
    if len(text) > MAX_LITERAL_CHARS:
        raise NotALiteral("too long")
    tree = parse_quietly(text.strip())
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        raise NotALiteral("not an expression")
    return literal(tree.body[0].value)


def argument(node: ast.expr, names: Names | None) -> object:
    """Return the data of a literal, or what the jail builds from names of the document.

    Raises `NotALiteral` for an expression with a name that neither the document nor Python has.
    """
    try:
        return literal(node)
    except NotALiteral:
        if names is None or not _uses_known_names(node, names):
            raise
        return Built(ast.unparse(node))


def _uses_known_names(node: ast.expr, names: Names) -> bool:
    used = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    own = {n.id for n in used if isinstance(n.ctx, ast.Store)}
    own |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    read = {n.id for n in used if isinstance(n.ctx, ast.Load)} - own
    return bool(read) and all(names.known(name) or hasattr(builtins, name) for name in read)


def as_call(node: ast.expr, function: str, names: Names | None = None) -> Call | None:
    """Return `node` as a call of `function` with literal arguments.

    With the names of the document an argument may be an object too. None if it is anything else.
    """
    if not isinstance(node, ast.Call) or len(ast.dump(node.func)) > 500:
        return None
    called = ast.unparse(node.func)
    if called != function and called.rpartition(".")[2] != function.rpartition(".")[2]:
        return None
    if (
        "." in called
        and called != function
        and "." not in function
        and called.rpartition(".")[0] != "solution"
    ):
        return None
    try:
        args = tuple(argument(item, names) for item in node.args)
        keywords = {item.arg: argument(item.value, names) for item in node.keywords if item.arg is not None}
    except NotALiteral:
        return None
    if len(keywords) != len(node.keywords):
        return None
    return Call(function, args, keywords)
