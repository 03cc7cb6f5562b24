"""Read examples in docstrings: doctests, arrows, and calls in the prose.

The author vouches for doctests and arrows. Weaker wording gives a weak example, or an input without a value.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator

from sandbox.inputs.asserts import Example, read_comparison
from sandbox.inputs.brackets import after_closing
from sandbox.inputs.literals import MAX_LITERAL_CHARS, NotALiteral, as_call, parse_literal
from sandbox.inputs.names import Names
from sandbox.inputs.target import parse_quietly
from sandbox.program import Call, Expression, Probe

MAX_EXAMPLES = 32


def from_docstring(docstring: str, function: str, names: Names | None = None) -> list[Example]:
    """Read the author's examples: doctests first, then calls in the prose.

    Calls look like `f(1) -> 2` or `f(1) == 2`. With the names of the document a doctest may use objects:
    `distance(Point(0, 0), Point(3, 4))`.
    """
    found = list(_doctests(docstring, function, names))
    prose = "\n".join(line for line in docstring.splitlines() if not line.lstrip().startswith((">>>", "...")))
    found += _prose_examples(prose, function)
    unique: dict[str, Example] = {}
    for example in found:
        key = repr(example.probe)
        if key not in unique or (example.known and not unique[key].known):
            unique[key] = example
    return list(unique.values())[:MAX_EXAMPLES]


def _doctests(docstring: str, function: str, names: Names | None) -> Iterator[Example]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # white space is inconsistent: such a doctest cannot be trusted
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
            example = read_comparison(node, function)
            if example is not None:
                yield Example(example.probe, example.expected, example.known, hard=True)
                continue
        probe: Probe | None = as_call(node, function, names)
        if probe is None and _is_self_contained(node, function):
            probe = Expression(ast.unparse(node))
        if probe is None:
            continue
        yield _with_want(probe, item.want)


def _with_want(probe: Probe, want: str) -> Example:
    """Read the expected output of a doctest.

    Only the first line counts where prose follows at once.
    """
    for text in (want, want.split("\n", 1)[0]):
        try:
            return Example(probe, parse_literal(text))
        except NotALiteral:
            continue
    return Example(probe, known=False)


def _is_self_contained(node: ast.expr, function: str) -> bool:
    """Check that the expression uses nothing but the function itself and builtins."""
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


# Between a call and its value. `=` and most words are weaker: `tri(1) = 3` in a docstring of HumanEval
# describes a mathematical sequence, while the function returns a list.
_STRONG = r"(?:->|=>|==>|==|➞|→|⇒|returns|should return|must return|will return|#\s*(?:->|=>|returns)?)"
_WEAK = r"(?:=|is|equals|gives|should be|outputs|produces|:)"


def _prose_examples(prose: str, function: str) -> Iterator[Example]:
    short = function.rpartition(".")[2]
    for match in re.finditer(rf"(?<![\w.]){re.escape(short)}\(", prose):
        end = after_closing(prose, match.end() - 1, MAX_LITERAL_CHARS)
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
            pass  # the words before the call are not a value, but the input is worth probing
    return Example(call, known=False, hard=False)


def _leading_literal(text: str) -> object:
    """Read the literal that starts a line of prose.

    Prose may follow it, arithmetic may not.
    """
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
