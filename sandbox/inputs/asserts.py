"""Read examples out of asserts: calls with their expected values.

Arguments and expected values must be literals (`sandbox.inputs.literals`). Other asserts are left out.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from sandbox.inputs.literals import MAX_LITERAL_CHARS, NotALiteral, as_call, literal
from sandbox.inputs.target import parse_quietly
from sandbox.program import Probe

MAX_ASSERTS_PER_TEXT = 40


@dataclass(frozen=True, slots=True)
class Example:
    """A probe and the value expected of it."""

    probe: Probe
    expected: object = None
    known: bool = True
    """False when the example names an input only: `expected` means nothing then."""
    hard: bool = True
    """True for what the author wrote as an example (doctest, arrow); False for prose and generated asserts."""


def from_asserts(text: str, function: str) -> list[Example]:
    """Read weak examples from generated tests.

    They are `assert f(x) == y`, `assert f(x)`, `assert not f(x)`, and closeness of numbers. The text may
    break off in the middle, repeat `assert` with nothing after it, or hold other code. At most
    `MAX_ASSERTS_PER_TEXT` examples are read.
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
        example = _read_test(test, function) if test is not None else None
        if example is not None:
            found.append(example)
    return found


def _first_expression(text: str) -> ast.expr | None:
    """Return the tested expression of `assert TEXT`, whatever follows it."""
    text = text[: 2 * MAX_LITERAL_CHARS]
    lines = text.splitlines()
    for n_lines in range(1, min(len(lines), 12) + 1):
        tree = parse_quietly("assert " + "\n".join(lines[:n_lines]))
        if tree is not None and tree.body and isinstance(tree.body[0], ast.Assert):
            return tree.body[0].test
    return None


def _read_test(test: ast.expr, function: str) -> Example | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return read_comparison(test, function)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        call = as_call(test.operand, function)
        return Example(call, False, hard=False) if call else None
    call = as_call(test, function)
    if call is not None:
        return Example(call, True, hard=False)
    return _read_closeness(test, function)


def read_comparison(test: ast.Compare, function: str) -> Example | None:
    """Read `f(x) == y` or `f(x) is y`, either way round.

    Also read a bound on a difference, `abs(f(x) - y) < e`.
    """
    operator, left, right = test.ops[0], test.left, test.comparators[0]
    if not isinstance(operator, ast.Eq | ast.Is):
        if isinstance(operator, ast.Lt | ast.LtE):
            return _read_closeness(left, function)
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


def _read_closeness(test: ast.expr, function: str) -> Example | None:
    """Read `math.isclose(f(x), y)` or the `abs(f(x) - y)` of a bound."""
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
