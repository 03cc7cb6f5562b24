"""Selected programs asked for in other shapes, as people ask for what they did not describe.

Sentences leave arguments out ("find the maximum of an array", called with the array and its length), name them in
another order than the call has, and do not say whether a list, a tuple, a number or a word is wanted. There the
example says it, and an answer has to follow the example. A self-made problem never teaches this: its sentence, its
signature and its example come from one source. So a selected program is asked for again under the same sentence, with
an assert of another shape, and the answer is the program changed to fulfil it:

    called otherwise     a length as one more argument, or two arguments the other way round
    for each of several  a list of arguments, and the list of what each gives
    as a tuple, a list   what was a list is a tuple, and the other way round
    counted              how many, instead of which
    in words             "Yes" and "No", instead of True and False

Of an adapter's answers that had seen none of these 7.7 % could not be called as asked, and of one's that had seen the
first 5.9 %; another 14.6 % of its answers gave a value of another type than the example's (docs/log.md).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from sandbox.inputs.target import parse_quietly
from trainer.selection import MAX_ASSERT_CHARS
from trainer.store import digest

Variant = tuple[str, str]
"""A program, and an assert that it fulfils."""
LENGTHS = ("n", "length", "size")
"""What people call a length; the first that the program does not use."""
SEVERAL = ("items", "rows", "groups")
"""What people call a list of such arguments; the first that the program does not use."""
VERDICTS = (("Yes", "No"), ("Valid", "Invalid"), ("Found", "Not found"))
"""Words for True and False."""


def variants(source: str, assertions: Sequence[str], function: str) -> list[Variant]:
    """The program in every other shape that it can have; the first assert is the one that is reshaped.

    Each is the same behaviour in another form, so nothing has to be run to know its value. The program must define
    `function` once, without calling it, with plain parameters that the asserts give by position.
    """
    if not assertions:
        return []
    first = assertions[0]
    found = [
        called_otherwise(source, first, function),
        for_each(source, assertions, function),
        in_another_container(source, first, function),
        counted(source, first, function),
        in_words(source, first, function),
    ]
    return [made for made in found if made is not None and len(made[1]) <= MAX_ASSERT_CHARS]


def called_otherwise(source: str, assertion: str, function: str) -> Variant | None:
    """One parameter whose value has a length gets that length as a second one; two parameters change places."""
    parts = _read(source, assertion, function)
    if parts is None:
        return None
    parameters, given = parts.definition.args.args, parts.call.args
    if len(given) == 1:
        value = _literal(given[0])
        name = _free(LENGTHS, parts.program)
        if not isinstance(value, list | str | tuple | set | dict) or name is None:
            return None
        parameters.append(ast.arg(name))
        given.append(ast.Constant(len(value)))
    elif len(given) == 2 and ast.dump(given[0]) != ast.dump(given[1]):
        parameters.reverse()
        given.reverse()
    else:
        return None
    return parts.written()


def for_each(source: str, assertions: Sequence[str], function: str) -> Variant | None:
    """One parameter becomes a list of such values: two that different asserts give, of one type."""
    read = [parts for text in assertions if (parts := _read(source, text, function)) is not None]
    alike = [parts for parts in read if _type_of_argument(parts) is _type_of_argument(read[0])]
    if len(alike) < 2 or _type_of_argument(alike[0]) is None:
        return None
    parts, other = alike[:2]
    statement, name = _only_statement(parts.definition), _free(SEVERAL, parts.program)
    if statement is None or statement.value is None or name is None:
        return None
    parameter = parts.definition.args.args[0]
    loop = ast.comprehension(ast.Name(parameter.arg, ast.Store()), ast.Name(name, ast.Load()), [], is_async=0)
    statement.value = ast.ListComp(statement.value, [loop])
    parts.definition.args.args = [ast.arg(name)]
    parts.call.args = [ast.List([parts.call.args[0], other.call.args[0]], ast.Load())]
    return parts.giving(ast.List([parts.value, other.value], ast.Load()))


def in_another_container(source: str, assertion: str, function: str) -> Variant | None:
    """A list becomes a tuple, and a tuple a list."""
    parts = _read(source, assertion, function)
    returned = _only_return(parts)
    if parts is None or returned is None or returned.value is None:
        return None
    match parts.value:
        case ast.List(items):
            returned.value = _converted("tuple", returned.value)
            return parts.giving(ast.Tuple(items, ast.Load()))
        case ast.Tuple(items):
            returned.value = _converted("list", returned.value)
            return parts.giving(ast.List(items, ast.Load()))
    return None


def counted(source: str, assertion: str, function: str) -> Variant | None:
    """How many values there are, where a list, a tuple or a set of them was asked for."""
    parts = _read(source, assertion, function)
    returned = _only_return(parts)
    if parts is None or returned is None or returned.value is None:
        return None
    value = _literal(parts.value)
    if not isinstance(value, list | tuple | set):
        return None
    returned.value = ast.Call(ast.Name("len", ast.Load()), [returned.value], [])
    return parts.giving(ast.Constant(len(value)))


def in_words(source: str, assertion: str, function: str) -> Variant | None:
    """Words for True and False; which ones is drawn by the name of the function."""
    parts = _read(source, assertion, function)
    returned = _only_return(parts)
    if parts is None or returned is None or returned.value is None:
        return None
    value = _literal(parts.value)
    if not isinstance(value, bool):
        return None
    yes, no = VERDICTS[int(digest(function)[:8], 16) % len(VERDICTS)]
    returned.value = ast.IfExp(returned.value, ast.Constant(yes), ast.Constant(no))
    return parts.giving(ast.Constant(yes if value else no))


class _Parts:
    """A program and a claim about it, taken apart: to be changed and written down again."""

    def __init__(self, program: ast.Module, definition: ast.FunctionDef, claim: ast.Module) -> None:
        self.program, self.definition, self.claim = program, definition, claim
        match claim.body:
            case [ast.Assert(ast.Compare(ast.Call() as call, _, [value]) as compared)]:
                self.call, self.value, self.compared = call, value, compared

    def giving(self, value: ast.expr) -> Variant:
        """Written down with another value."""
        self.compared.comparators = [value]
        return self.written()

    def written(self) -> Variant:
        return ast.unparse(ast.fix_missing_locations(self.program)), ast.unparse(self.claim)


def _read(source: str, assertion: str, function: str) -> _Parts | None:
    """None where nothing may be changed: see `variants`."""
    program, claim = parse_quietly(source), parse_quietly(assertion)
    if program is None or claim is None:
        return None
    definition = _definition(program, function)
    match claim:
        case ast.Module([ast.Assert(ast.Compare(ast.Call(ast.Name(name)) as call, [ast.Eq()]))]):
            plain = not call.keywords and not any(isinstance(one, ast.Starred) for one in call.args)
            if plain and name == function and definition is not None:
                same_number = len(definition.args.args) == len(call.args)
                return _Parts(program, definition, claim) if same_number else None
    return None


def _definition(program: ast.Module, function: str) -> ast.FunctionDef | None:
    """The one definition of `function`, where nothing else in the program names it and its parameters are plain."""
    match [node for node in program.body if isinstance(node, ast.FunctionDef) and node.name == function]:
        case [definition] if function not in _names(program):
            rest = definition.args
            plain = not (rest.posonlyargs or rest.kwonlyargs or rest.vararg or rest.kwarg or rest.defaults)
            return definition if plain and not definition.decorator_list else None
    return None


def _only_return(parts: _Parts | None) -> ast.Return | None:
    """The one `return` of the function, where it is its last statement and nothing is yielded."""
    if parts is None:
        return None
    inner = [
        node
        for node in ast.walk(parts.definition)
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom)
    ]
    last = parts.definition.body[-1]
    return last if isinstance(last, ast.Return) and inner == [last] else None


def _only_statement(definition: ast.FunctionDef) -> ast.Return | None:
    """The `return` of a function of one parameter that consists of nothing else, but for a docstring."""
    body = definition.body[1:] if ast.get_docstring(definition) is not None else definition.body
    match body:
        case [ast.Return() as statement] if len(definition.args.args) == 1:
            return statement
    return None


def _converted(container: str, value: ast.expr) -> ast.expr:
    """The value in a tuple or list, without the container that it was written in."""
    match value:
        case ast.Tuple(items):
            return ast.List(items, ast.Load())
        case ast.List(items):
            return ast.Tuple(items, ast.Load())
        case ast.ListComp(element, generators):
            value = ast.GeneratorExp(element, generators)
        case ast.Call(ast.Name("list" | "tuple"), [inner], []):
            value = inner
    return ast.Call(ast.Name(container, ast.Load()), [value], [])


def _type_of_argument(parts: _Parts) -> type | None:
    """Of the only argument, where it is written down."""
    value = _literal(parts.call.args[0]) if len(parts.call.args) == 1 else None
    return None if value is None else type(value)


def _literal(node: ast.expr) -> Any:
    """The value that is written down; None of anything else, as of None itself."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # a call; a set of lists
        return None


def _free(names: Sequence[str], program: ast.Module) -> str | None:
    used = _names(program)
    return next((name for name in names if name not in used), None)


def _names(program: ast.Module) -> set[str]:
    """Every name that is read, bound or taken as a parameter."""
    return {node.id for node in ast.walk(program) if isinstance(node, ast.Name)} | {
        node.arg for node in ast.walk(program) if isinstance(node, ast.arg)
    }
