"""Find the kind of each parameter from the most reliable evidence."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sandbox.inputs.kinds import ANY, INT, NONE, STR, Kind, Others, merge, of_annotation, of_value
from sandbox.inputs.name_hints import kind_of_name
from sandbox.inputs.target import Parameter
from sandbox.program import Call


def parameter_kind(
    parameter: Parameter, seen: Iterable[object], docstring: str = "", others: Others | None = None
) -> Kind | None:
    """Return the kind of a parameter.

    Evidence in this order: annotation, values seen, default, name. An annotation that leaves its elements
    open (`list`) is filled in from the weaker evidence.

    None for an annotation that `others` cannot read either, where no value was seen: its author named a type, so a
    guess from the parameter's name would be wrong.
    """
    annotated = of_annotation(parameter.annotation, others)
    observed = merge(_common(of_value(value) for value in seen))
    if annotated is None and parameter.annotation is not None and others is not None:
        return observed
    default: Kind | None = None
    if parameter.default is not None:
        try:
            default = of_value(ast.literal_eval(parameter.default))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            default = None
    guess = kind_of_name(parameter.name, docstring)
    weaker = observed or (default if default not in (None, NONE) else None) or guess
    if annotated is None or annotated == ANY:
        return weaker
    return _fill(annotated, weaker)


def parameter_kinds(
    parameters: Sequence[Parameter], calls: Sequence[Call], docstring: str, others: Others | None = None
) -> tuple[Kind | None, ...]:
    """Return one kind per parameter, learned from `calls` among others (see `parameter_kind`)."""
    found = []
    for position, parameter in enumerate(parameters):
        seen = [call.args[position] for call in calls if len(call.args) > position]
        seen += [call.kwargs[parameter.name] for call in calls if parameter.name in call.kwargs]
        found.append(parameter_kind(parameter, seen, docstring, others))
    return tuple(found)


def _common(kinds: Iterable[Kind | None]) -> list[Kind]:
    """Drop rare kinds: a generated assert sometimes passes nonsense on purpose."""
    counts = Counter(kind for kind in kinds if kind is not None)
    by_name: Counter[str] = Counter()
    for kind, count in counts.items():
        by_name[kind.name] += count
    most = max(by_name.values(), default=0)
    return [kind for kind in counts if by_name[kind.name] * 5 >= most]


def _fill(kind: Kind, weaker: Kind) -> Kind:
    """Replace the `any` parts of `kind` by those of `weaker`.

    Where these do not fit, by integers and strings.
    """
    if kind == ANY:
        return weaker if weaker.name not in ("union", "none") else Kind("union", (INT, STR))
    if not kind.parts:
        return kind
    if kind.name == weaker.name and len(kind.parts) == len(weaker.parts):
        fallback = weaker.parts
    else:
        fallback = (STR, INT) if kind.name == "dict" else (INT,) * len(kind.parts)
    return replace(kind, parts=tuple(_fill(a, b) for a, b in zip(kind.parts, fallback, strict=True)))
