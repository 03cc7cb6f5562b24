"""Selected programs called in another shape, as people call what they did not describe.

Sentences leave arguments out ("find the maximum of an array", called with the array and its length) and name them in
another order than the call has. There the example says how the function is called, and an answer has to follow it. A
self-made problem never teaches this: its sentence, its signature and its example come from one source. So a selected
program is asked for once more under the same sentence, with an assert, and with it a signature, of another shape.
Of one adapter's answers 5.0 % could not be called as asked, and 7.7 % of one's that had not seen any (docs/log.md).
"""

from __future__ import annotations

import ast

from sandbox.inputs.target import parse_quietly

LENGTHS = ("n", "length", "size")
"""What people call a length; the first that the program does not use."""


def call_variant(source: str, assertion: str, function: str) -> tuple[str, str] | None:
    """A program and an assert that it fulfils, from those of `function`: the same behaviour, called differently.

    One parameter whose value has a length gets that length as a second one; two parameters change places. None where
    the program calls `function` itself, or its signature or the call is not made of plain parameters, one or two of
    them, given by position.
    """
    program, claim = parse_quietly(source), parse_quietly(assertion)
    if program is None or claim is None:
        return None
    definition, call = _definition(program, function), _call(claim, function)
    if definition is None or call is None:
        return None
    parameters, given = definition.args.args, call.args
    if len(parameters) != len(given):
        return None
    if len(given) == 1:
        length = _length(given[0])
        name = next((name for name in LENGTHS if name not in _names(program)), None)
        if length is None or name is None:
            return None
        parameters.append(ast.arg(name))
        given.append(ast.Constant(length))
    elif len(given) == 2 and ast.dump(given[0]) != ast.dump(given[1]):
        parameters.reverse()
        given.reverse()
    else:
        return None
    return ast.unparse(program), ast.unparse(claim)


def _definition(program: ast.Module, function: str) -> ast.FunctionDef | None:
    """The one definition of `function`, where nothing else in the program names it and its parameters are plain."""
    match [node for node in program.body if isinstance(node, ast.FunctionDef) and node.name == function]:
        case [definition] if function not in _names(program):
            rest = definition.args
            plain = not (rest.posonlyargs or rest.kwonlyargs or rest.vararg or rest.kwarg or rest.defaults)
            return definition if plain and not definition.decorator_list else None
    return None


def _call(claim: ast.Module, function: str) -> ast.Call | None:
    """The call in `assert function(...) == value`, where all is given by position."""
    match claim:
        case ast.Module([ast.Assert(ast.Compare(ast.Call(ast.Name(name)) as call, [ast.Eq()]))]):
            plain = not call.keywords and not any(isinstance(one, ast.Starred) for one in call.args)
            return call if plain and name == function else None
    return None


def _length(argument: ast.expr) -> int | None:
    """Of a list, string, tuple, set or dictionary that is written down; None of anything else."""
    try:
        value = ast.literal_eval(argument)
    except (ValueError, TypeError):  # a call; a set of lists
        return None
    return len(value) if isinstance(value, list | str | tuple | set | dict) else None


def _names(program: ast.Module) -> set[str]:
    """Every name that is read, bound or taken as a parameter."""
    return {node.id for node in ast.walk(program) if isinstance(node, ast.Name)} | {
        node.arg for node in ast.walk(program) if isinstance(node, ast.arg)
    }
