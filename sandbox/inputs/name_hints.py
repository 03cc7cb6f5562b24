"""Guess a parameter's kind from its name, otherwise from the docstring."""

from __future__ import annotations

import re

from sandbox.inputs.kinds import BOOL, FLOAT, INT, STR, Kind

_NAME_PATTERNS: tuple[tuple[str, Kind], ...] = (
    (r"^(is|has|should|can|allow|enable|use|include)_|^(flag|reverse|strict|verbose|ascending)$", BOOL),
    (r"matrix|grid|board|rows$|^table$", Kind("list", (Kind("list", (INT,)),))),
    (r"^(strings|words|names|lines|tokens|texts|keys|paths|urls|tags|labels)$", Kind("list", (STR,))),
    (r"^(pairs|points|edges|intervals|ranges|items_list)$", Kind("list", (Kind("tuple", (INT, INT)),))),
    (
        r"^(l|l\d|lst\d?|list\d?|arr\d?|array\d?|nums|numbers|xs|ys|values|items|elements|data|seq|sequence|ints"
        r"|integers|digits|scores|grades|prices|heights|weights|costs|stack|queue|operand|input_list|lis|a_list)$"
        r"|_(list|array|numbers)$|(list|array)$",
        Kind("list", (INT,)),
    ),
    (r"^(d|dict|dic|mapping|counts?_by|config|options|record|obj)$|_(dict|map)$", Kind("dict", (STR, INT))),
    (
        r"^(s|s\d|st|str\d?|string\d?|text|txt|word|name|sentence|line|char|ch|substring|sub|prefix|suffix|pattern"
        r"|message|title|path|url|date|key|filename|file_name|email|token|source|query|sep|delimiter|paren_string"
        r"|brackets?|planet\d?|song|music\w*|message|phrase|password|label)$|_(string|str|text|name|word)$|string$",
        STR,
    ),
    (
        r"^(rate|ratio|threshold|price|weight|height|width|radius|area|temperature|percent|probability|eps|tol)$",
        FLOAT,
    ),
    (
        r"^(n|m|k|x|y|z|i|j|a|b|c|p|q|w|num\d?|number\d?|integer|val|value|count|size|length|limit|base|index|start"
        r"|end|stop|step|year|month|day|age|total|capacity|target|low|high|lo|hi|min_val|max_val|decimal|digit|t)$"
        r"|^(n|num|max|min)_|_(count|size|id|index|number|length)$",
        INT,
    ),
)

_DOC_HINTS: tuple[tuple[str, Kind], ...] = (
    (
        r"\b(list|array|lists|arrays|sequence)s? of (lists|arrays|rows)\b",
        Kind("list", (Kind("list", (INT,)),)),
    ),
    (
        r"\b(list|array|lists|sequence)s? (of|that contains) (\w+ ){0,2}(strings|words|names)\b",
        Kind("list", (STR,)),
    ),
    (r"\bdictionary\b|\bdict\b|\bmapping\b", Kind("dict", (STR, INT))),
    (r"\b(list|array|vector|sequence)s?\b", Kind("list", (INT,))),
    (r"\b(string|word|sentence|text|letter|character)s?\b", STR),
    (r"\b(decimal|float|real number|floating)\b", FLOAT),
    (r"\b(integer|number|digit)s?\b", INT),
)


def kind_of_name(name: str, docstring: str = "") -> Kind:
    """Guess from the parameter's name, then from the docstring.

    The guess is an integer where neither gives a hint.
    """
    lowered = name.lower()
    for pattern, kind in _NAME_PATTERNS:
        if re.search(pattern, lowered):
            return kind
    for pattern, kind in _DOC_HINTS:
        if re.search(pattern, docstring.lower()):
            return kind
    return INT
