"""Selected programs with another call shape.

A request can differ from its sentence.

Sentences leave arguments out ("find the maximum of an array", called with the array and its length), or name them in
another order than the call has. There only the example shows the call, and an answer has to follow it. A self-made
problem never teaches this: its sentence, its signature and its example come from one source. So a selected program
also answers its sentence with an assert of another shape, and has that signature (docs/decisions.md, "Selected programs
are requested in another call shape too").
"""

from __future__ import annotations

import ast

from sandbox.inputs.target import parse_quietly

LENGTHS = ("n", "length", "size")
"""Names for a length; the first that the program does not use is taken."""


def call_variant(source: str, assertion: str, function: str) -> tuple[str, str] | None:
    """Make a program of the same behaviour with another call, and its assert.

    One parameter whose value has a length gets that length as a second one; two parameters change places. None where
    the program calls `function` itself. None too unless the signature and the call have one or two plain positional
    parameters.
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
    """Find the only definition of `function`, with plain parameters.

    Returns None if the program names it elsewhere.
    """
    match [node for node in program.body if isinstance(node, ast.FunctionDef) and node.name == function]:
        case [definition] if function not in _names(program):
            rest = definition.args
            plain = not (rest.posonlyargs or rest.kwonlyargs or rest.vararg or rest.kwarg or rest.defaults)
            return definition if plain and not definition.decorator_list else None
    return None


def _call(claim: ast.Module, function: str) -> ast.Call | None:
    """Find the call in `assert function(...) == value`, None unless all is positional."""
    match claim:
        case ast.Module([ast.Assert(ast.Compare(ast.Call(ast.Name(name)) as call, [ast.Eq()]))]):
            plain = not call.keywords and not any(isinstance(one, ast.Starred) for one in call.args)
            return call if plain and name == function else None
    return None


def _length(argument: ast.expr) -> int | None:
    """Return the length of a literal list, string, tuple, set or dictionary.

    Returns None for anything else.
    """
    try:
        value = ast.literal_eval(argument)
    except (ValueError, TypeError):  # a call; a set of lists
        return None
    return len(value) if isinstance(value, list | str | tuple | set | dict) else None


def _names(program: ast.Module) -> set[str]:
    """Return every name that is read, bound or taken as a parameter."""
    return {node.id for node in ast.walk(program) if isinstance(node, ast.Name)} | {
        node.arg for node in ast.walk(program) if isinstance(node, ast.arg)
    }
