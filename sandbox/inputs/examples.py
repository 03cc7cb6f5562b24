"""Examples with an expected value: from docstrings (the author vouches for them) and from generated asserts.

Everything is read with `ast`: arguments and expected values must be literals, sizes are bounded, nothing is
evaluated. What cannot be read that way is left out, never guessed.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.inputs.target import parse_quietly
from sandbox.program import Call, Expression, Probe

MAX_LITERAL_CHARS = 2_000
MAX_ASSERTS_PER_TEXT = 40
_NUMBER = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.FloorDiv, ast.Mod)


class NotALiteral(ValueError):
    """The expression is not plain data."""


@dataclass(frozen=True, slots=True)
class Example:
    """A probe, and the value it is said to give (`known` False: the example names an input only)."""

    probe: Probe
    expected: object = None
    known: bool = True
    hard: bool = True
    """Written by the author as an example (doctest, arrow); False for prose and generated asserts."""


def literal(node: ast.expr, depth: int = 0) -> object:
    """The plain data a literal expression stands for; small arithmetic on numbers is worked out.

    Raises `NotALiteral` otherwise. `list * int` and other ways to grow without bound are refused.
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
    """`set()`, `tuple()`, `list([...])`, `float("inf")`: how people write values that have no literal."""
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
        raise NotALiteral("arithmetic on something else than numbers")
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
    """The plain data `text` stands for; raises `NotALiteral`."""
    if len(text) > MAX_LITERAL_CHARS:
        raise NotALiteral("too long")
    tree = parse_quietly(text.strip())
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        raise NotALiteral("not an expression")
    return literal(tree.body[0].value)


def as_call(node: ast.expr, function: str) -> Call | None:
    """The call of `function` that `node` is, if its arguments are literals."""
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
        args = tuple(literal(item) for item in node.args)
        keywords = {item.arg: literal(item.value) for item in node.keywords if item.arg is not None}
    except NotALiteral:
        return None
    if len(keywords) != len(node.keywords):
        return None
    return Call(function, args, keywords)


def from_asserts(text: str, function: str) -> list[Example]:
    """Weak examples in generated test text: `assert f(x) == y`, `assert f(x)`, `assert not f(x)`.

    The text may break off in the middle, repeat `assert` without anything behind it, or hold other code.
    At most `MAX_ASSERTS_PER_TEXT` are read.
    """
    found: list[Example] = []
    short = function.rpartition(".")[2]
    parts = re.split(r"\bassert\b", text[:40_000])[1:]
    for part in parts:
        if len(found) >= MAX_ASSERTS_PER_TEXT:
            break
        if short not in part:
            continue
        test = _first_expression(part.strip())
        example = _of_test(test, function) if test is not None else None
        if example is not None:
            found.append(example)
    return found


def _first_expression(text: str) -> ast.expr | None:
    """The tested expression of `assert TEXT`, where TEXT may be followed by anything."""
    text = text[: 2 * MAX_LITERAL_CHARS]
    lines = text.splitlines()
    for n_lines in range(1, min(len(lines), 12) + 1):
        tree = parse_quietly("assert " + "\n".join(lines[:n_lines]))
        if tree is not None and tree.body and isinstance(tree.body[0], ast.Assert):
            return tree.body[0].test
    return None


def _of_test(test: ast.expr, function: str) -> Example | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _of_comparison(test, function)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        call = as_call(test.operand, function)
        return Example(call, False, hard=False) if call else None
    call = as_call(test, function)
    if call is not None:
        return Example(call, True, hard=False)
    return _of_close_to(test, function)


def _of_comparison(test: ast.Compare, function: str) -> Example | None:
    operator, left, right = test.ops[0], test.left, test.comparators[0]
    if not isinstance(operator, ast.Eq | ast.Is):
        if isinstance(operator, ast.Lt | ast.LtE):
            return _of_close_to(left, function)
        return None
    call, expected = as_call(left, function), right
    if call is None:
        call, expected = as_call(right, function), left
    if call is None:
        return None
    try:
        return Example(call, literal(expected), hard=False)
    except NotALiteral:
        return Example(call, known=False, hard=False)


def _of_close_to(test: ast.expr, function: str) -> Example | None:
    """`math.isclose(f(x), y)`, and `abs(f(x) - y)` as it stands left of `<`."""
    if not isinstance(test, ast.Call):
        return None
    name = ast.unparse(test.func).rpartition(".")[2] if len(ast.dump(test.func)) < 300 else ""
    if name == "isclose" and len(test.args) >= 2:
        pair = test.args[:2]
    elif name == "abs" and len(test.args) == 1:
        inner = test.args[0]
        if not (isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub)):
            return None
        pair = [inner.left, inner.right]
    else:
        return None
    for call_node, expected in (pair, pair[::-1]):
        call = as_call(call_node, function)
        if call is not None:
            try:
                return Example(call, literal(expected), hard=False)
            except NotALiteral:
                return Example(call, known=False, hard=False)
    return None


def from_docstring(docstring: str, function: str) -> list[Example]:
    """Examples the author wrote: doctests first, then calls in the prose (`f(1) -> 2`, `f(1) == 2`)."""
    found = list(_doctests(docstring, function))
    prose = "\n".join(line for line in docstring.splitlines() if not line.lstrip().startswith((">>>", "...")))
    found += _prose_examples(prose, function)
    unique: dict[str, Example] = {}
    for example in found:
        key = repr(example.probe)
        if key not in unique or (example.known and not unique[key].known):
            unique[key] = example
    return list(unique.values())[:32]


def _doctests(docstring: str, function: str) -> Iterator[Example]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # a doctest with inconsistent white space: not an example we can trust
        return
    short = function.rpartition(".")[2]
    for item in examples:
        tree = parse_quietly(item.source.strip())
        if tree is None or len(tree.body) != 1 or item.exc_msg is not None:
            continue
        statement = tree.body[0]
        if not isinstance(statement, ast.Expr) or short not in item.source:
            continue
        node = statement.value
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and len(node.args) == 1:
            node = node.args[0]
        if isinstance(node, ast.Compare) and item.want.strip() == "True":
            example = _of_comparison(node, function)
            if example is not None:
                yield Example(example.probe, example.expected, example.known, hard=True)
                continue
        probe: Probe | None = as_call(node, function)
        if probe is None and _is_self_contained(node, function):
            probe = Expression(ast.unparse(node))
        if probe is None:
            continue
        yield _with_want(probe, item.want)


def _with_want(probe: Probe, want: str) -> Example:
    """What a doctest prints: all of it, or its first line where prose follows without an empty line."""
    for text in (want, want.split("\n", 1)[0]):
        try:
            return Example(probe, parse_literal(text))
        except NotALiteral:
            continue
    return Example(probe, known=False)


def _is_self_contained(node: ast.expr, function: str) -> bool:
    """Whether the expression needs only the function itself and builtins, no variable set up before."""
    known = set(function.split(".")) | {
        "sorted",
        "list",
        "tuple",
        "set",
        "dict",
        "len",
        "str",
        "repr",
        "round",
    }
    known |= {"sum", "min", "max", "abs", "int", "float", "bool", "range", "next", "any", "all", "type"}
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return names <= known | bound


# What stands between a call and its value. `=` and words are weaker: `tri(1) = 3` in a docstring of HumanEval
# describes a mathematical sequence, while the function returns a list.
_STRONG = r"(?:->|=>|==>|==|➞|→|⇒|returns|should return|must return|will return|#\s*(?:->|=>|returns)?)"
_WEAK = r"(?:=|is|equals|gives|should be|outputs|produces|:)"


def _prose_examples(prose: str, function: str) -> Iterator[Example]:
    short = function.rpartition(".")[2]
    for match in re.finditer(rf"(?<![\w.]){re.escape(short)}\(", prose):
        end = _closing(prose, match.end() - 1)
        if end is None:
            continue
        tree = parse_quietly(prose[match.start() : end].replace("\n", " "))
        if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            continue
        call = as_call(tree.body[0].value, short)
        if call is None:
            continue
        call = Call(function, call.args, call.kwargs)
        yield _expected_after(call, prose[end : end + MAX_LITERAL_CHARS], prose[: match.start()])


def _expected_after(call: Call, rest: str, before: str) -> Example:
    for pattern, hard in ((_STRONG, True), (_WEAK, False)):
        operator = re.match(rf"[`'\")\s]{{0,3}}{pattern}\s*`?", rest)
        if operator is None:
            continue
        try:
            return Example(call, _leading_literal(rest[operator.end() :]), hard=hard)
        except NotALiteral:
            continue
    backwards = re.search(
        r"(?:returns?|gives)\s+(`?)([^\s`]{1,80})\1\s+(?:for|on|with|when given)\s+`?$", before
    )
    if backwards is not None:
        try:
            return Example(call, parse_literal(backwards.group(2)), hard=True)
        except NotALiteral:
            pass  # the words before the call are not a value: the input is still worth probing
    return Example(call, known=False, hard=False)


def _leading_literal(text: str) -> object:
    """The literal at the start of a line of prose. It ends the line or prose follows, never arithmetic."""
    line = text.split("\n", 1)[0][:300]
    ends = [match.start() for match in re.finditer(r"$|`|[.,;:](?=\s|$)|\s+(?=[A-Za-z#(])|\s*$", line)]
    for end in sorted(set(ends), reverse=True):
        candidate = line[:end].strip()
        if not candidate:
            continue
        try:
            return parse_literal({"true": "True", "false": "False", "null": "None"}.get(candidate, candidate))
        except NotALiteral:
            continue
    raise NotALiteral("no value at the start of the line")


def _closing(text: str, start: int) -> int | None:
    """The position after the bracket that closes the one at `start`, quotes respected."""
    depth, quote = 0, ""
    for position in range(start, min(len(text), start + MAX_LITERAL_CHARS)):
        char = text[position]
        if quote:
            if char == quote and text[position - 1] != "\\":
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return position + 1
    return None
