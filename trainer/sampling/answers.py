"""The program inside a model's answer, and where an answer ends.

The program is the first code block that defines the function, cut to what the function needs. Small models add tests,
prints and second definitions after a good function, and those override or break it. (The commonest failures beside a
wrong body are a renamed function, appended tests and a second definition.) So imports, constants and definitions are
kept up to the end of the first complete definition of the requested function, and every statement that binds what they
need (`trainer.sampling.needs`). A renamed function gets the requested name as an alias only where the answer has no
other function.
"""

from __future__ import annotations

import ast
import re
import textwrap
import typing
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.inputs.target import parse_quietly
from trainer.sampling.needs import definition, needed

FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
MAX_ANSWER = 40_000
"""Characters of an answer that are read: a longer one is not worth its time."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """A rule that ends a sample before its token limit."""

    identifier: str
    """Part of the shard key: a rule that ends samples elsewhere needs another one."""
    find_end: Callable[[str], int | None]
    """Returns the index at which a text ends, None while it does not."""


def extract_function(answer: str, function: str, prelude: str = "") -> str | None:
    """Extract the source of a module that defines `function`, None without one.

    `prelude` (the task's imports and helpers) comes first. Never raises on any text.
    """
    answer = _lines(answer[:MAX_ANSWER]).replace("\0", "")
    blocks = [
        body
        for language, body in FENCE.findall(answer)
        if language.lower() in ("", "python", "py", "python3")
    ]
    sources = [*blocks, answer]
    for renamed in (False, True):
        for source in sources:
            module = _cut(textwrap.dedent(source), function, prelude, allow_renamed=renamed)
            if module is not None:
                return module
    return None


MODULES = frozenset(
    {"bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math", "operator", "random", "re",
     "statistics", "string"}
)  # fmt: skip
"""The modules that short programs import."""


def with_imports(source: str) -> str:
    """Add the imports that a program lacks.

    Its stub had no place for them.

    They are the modules of the standard library that it uses as `module.name`, and the names of `typing` in its
    signatures. Nothing is added for a name that the program itself binds.
    """
    tree = parse_quietly(source)
    if tree is None or "__future__" in source:  # that import must be the first one
        return source
    nodes = list(ast.walk(tree))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    bound |= {n.asname or n.name.split(".")[0] for n in nodes if isinstance(n, ast.alias)}
    owners = {n.value.id for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    names = {n.id for n in nodes if isinstance(n, ast.Name)}
    typed = sorted(names & set(typing.__all__) - bound)
    lines = [f"import {module}" for module in sorted(owners & MODULES - bound)]
    lines += [f"from typing import {', '.join(typed)}"] if typed else []
    return "\n".join([*lines, "", source]) if lines else source


def _end_of_block(text: str) -> int | None:
    opening = text.find("```")
    closing = text.find("\n```", opening + 3) if opening >= 0 else -1
    return closing + 4 if closing >= 0 else None


END_OF_BLOCK = StopRule("end_of_block", _end_of_block)
"""Ends an answer behind its first code block: prose and more tests follow."""


def end_of_answer(function: str) -> StopRule:
    """Make the rule that ends an answer where its solution is complete.

    That is behind its first code block. Without a block it is where something else (a print, a test, prose) follows the
    complete function at the margin.
    """
    after = re.compile(
        rf"^(?:async )?def {re.escape(function)}\(.*?\n(?=(?!(?:async|def|class|import|from)\b)(?:\w+\W|```|[*>]))",
        re.MULTILINE | re.DOTALL,
    )

    def find_end(text: str) -> int | None:
        end = _end_of_block(text)
        found = after.search(text) if end is None else None
        if found is None or parse_quietly(found.group()) is None:
            return end
        return found.end()

    return StopRule("end_of_answer", find_end)


def as_written(answer: str, function: str) -> str | None:
    """Return the answer as written up to its function's end, its block closed.

    None where the answer does not hold the function.
    """
    answer = _lines(answer)
    block = FENCE.search(answer)
    head, source = ("", answer) if block is None else (answer[: block.start(2)], block.group(2))
    tree = _longest_parse(source)
    for node in () if tree is None else tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            written = "\n".join(source.split("\n")[: node.end_lineno])
            return (head + written).lstrip() + ("" if block is None else "\n```")
    return None


def _lines(answer: str) -> str:
    """Return the answer with the line ends that Python counts."""
    return answer.replace("\r\n", "\n").replace("\r", "\n")


def _cut(source: str, function: str, prelude: str, *, allow_renamed: bool) -> str | None:
    tree = _longest_parse(source)
    if tree is None:
        return None
    target = definition(tree.body, function)
    name, alias = function, ""
    if target is None:
        definitions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        if not allow_renamed or len(definitions) != 1:
            return None
        target, name = definitions[0], definitions[0].name
        alias = f"\n\n{function} = {name}"
    kept = [
        node
        for node in tree.body
        if _is_support(node) and (node.lineno <= target.lineno or _is_other_definition(node, function))
    ]
    try:
        chosen = needed(tree.body, target, name, kept)
        first = [node for node in chosen if prelude and _is_future(node)]  # before the imports of the task
        program = "\n\n".join(ast.unparse(node) for node in chosen if node not in first)
        return (
            "".join(f"{line}\n" for line in (*map(ast.unparse, first), prelude) if line)
            + program
            + alias
            + "\n"
        )
    except (RecursionError, ValueError):
        return None


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _longest_parse(source: str) -> ast.Module | None:
    """Parse the longest run of leading lines that is valid.

    An answer may break off in the middle.

    Only lines at the margin can follow a complete statement, so only those are tried as the end.
    """
    tree = parse_quietly(source)
    if tree is not None:
        return tree
    lines = source.split("\n")
    ends = [index for index, line in enumerate(lines) if index and line and not line[0].isspace()]
    for end in reversed(ends[-60:]):
        tree = parse_quietly("\n".join(lines[:end]))
        if tree is not None and tree.body:
            return tree
    return None


def _is_support(node: ast.stmt) -> bool:
    """Whether a top-level statement is an import, a definition or a constant."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    return isinstance(node, ast.Assign | ast.AnnAssign) and not any(
        isinstance(part, ast.Call | ast.Await) for part in ast.walk(node)
    )


def _is_other_definition(node: ast.stmt, function: str) -> bool:
    """Whether a statement defines a helper, not the function itself once more."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name != function
