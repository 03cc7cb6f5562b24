"""A program keeps what its function needs, and nothing that only runs."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs.target import parse_quietly
from trainer.sampling.answers import extract_function
from trainer.sampling.needs import definition, names_bound, names_used

USES = "def f(x):\n    return NEEDED, x\n"
BEFORE = {
    "a compiled pattern": ("import re\nNEEDED = re.compile('a')", "re.compile('a')"),
    "an empty dict": ("NEEDED = dict()", "{}"),
    "a named tuple": ("from collections import namedtuple\nP = namedtuple('P', 'x')\nNEEDED = P(1)", "P(x=1)"),
    "a decimal": ("from decimal import Decimal\nNEEDED = Decimal('1.5')", "1.5"),
    "a constant of a constant": ("A = list('ab')\nB = len(A)\nNEEDED = B + 1", "3"),
    "a guarded import": ("try:\n    import missing_module as NEEDED\nexcept ImportError:\n    NEEDED = None", "None"),
    "a guarded import that prints": (
        "try:\n    from missing_module import NEEDED\nexcept ImportError:\n    print('none')\n    NEEDED = 2", "2",
    ),
    "a choice": ("import sys\nif sys.maxsize > 1:\n    NEEDED = 1\nelse:\n    NEEDED = 2", "1"),
    "a choice by match": ("match len('ab'):\n    case 2:\n        NEEDED = 4", "4"),
    "an augmented assignment": ("NEEDED = list()\nNEEDED += [1]", "[1]"),
    "a typed assignment": ("NEEDED: set = set('a')", "{'a'}"),
    "several at once": ("OTHER, *NEEDED = range(3)", "[1, 2]"),
    "an assignment within an expression": ("OTHER = [NEEDED := len('abc')]", "3"),
    "a loop": (
        "NEEDED = []\nfor n in range(2, 9):\n    if all(n % p for p in NEEDED):\n        NEEDED.append(n)",
        "[2, 3, 5, 7]",
    ),
    "a while loop": ("NEEDED = 1\nwhile NEEDED < 100:\n    NEEDED *= 2", "128"),
    "a block": ("import contextlib\nwith contextlib.suppress(ZeroDivisionError):\n    NEEDED = 5", "5"),
    "items": ("NEEDED = {}\nNEEDED['a'] = len('b')", "{'a': 1}"),
    "a call that changes it": ("NEEDED = {}\nNEEDED.update(a=1)", "{'a': 1}"),
    "a function that fills it": ("NEEDED = []\ndef fill():\n    NEEDED.append(1)\nfill()", "[1]"),
    "a function that sets it": ("def fill():\n    global NEEDED\n    NEEDED = 6\nfill()", "6"),
    "a lambda": ("twice = lambda n: 2 * n\nNEEDED = twice(4)", "8"),
    "an object": ("class C:\n    def __init__(self): self.x = tuple('ab')\nc = C()\nNEEDED = c.x", "('a', 'b')"),
    "deleted again": ("NEEDED, other = int('1'), int('2')\ndel other", "1"),
}  # fmt: skip


def result(program: str | None) -> Any:
    assert program is not None
    namespace: dict[str, Any] = {}
    exec(program, namespace)  # written by hand for this test
    return namespace["f"](0)


@pytest.mark.parametrize(("source", "value"), BEFORE.values(), ids=BEFORE)
def test_what_the_function_uses_is_kept(source: str, value: str) -> None:
    tests = "\nprint(f(1))\nassert f(2)\nNEEDED = None\nif __name__ == '__main__':\n    NEEDED = input()\n"
    for text in (f"{source}\n{USES}", f"{source}\n{USES}{tests}"):
        program = extract_function(text, "f")
        kept = result(program)[0]
        assert str(kept) == value
        assert program is not None
        assert "print(f" not in program
        assert "assert" not in program
        assert "input" not in program


@pytest.mark.parametrize("source", [source for source, _ in BEFORE.values()], ids=BEFORE)
def test_what_follows_the_function_is_kept_where_nothing_else_binds_it(source: str) -> None:
    assert result(extract_function(f"{USES}{source}\nprint(f(1))\n", "f"))[1] == 0


@pytest.mark.parametrize(
    "source",
    [
        "f = lambda x: [x]",
        "f: object = lambda x: [x]",
        "def g(x):\n    return [x]\nf = g",
        "import functools\ndef g(x):\n    return [x]\nf = functools.lru_cache(maxsize=None)(g)",
        "class A:\n    def g(self, x):\n        return [x]\na = A()\nf = a.g",
        "import functools\ncached = functools.lru_cache(None)\n@cached\ndef f(x):\n    return [x]",
        "def wrap(g):\n    return lambda x: [g(x)]\n@wrap\ndef f(x):\n    return x",
        "from collections import namedtuple\nBase = namedtuple('Base', 'x')\nclass P(Base):\n    pass\n"
        "def f(x):\n    return [P(x).x]",
        "DEFAULT = list()\ndef f(x, found=DEFAULT):\n    return [*found, x]",
        "try:\n    from missing_module import f\nexcept ImportError:\n    def f(x):\n        return [x]",
        "import sys\nif sys.maxsize:\n    def f(x):\n        return [x]",
        "from collections import namedtuple\nT = namedtuple('T', 'x')\nclass Unused:\n    start = T(0)\n"
        "def f(x):\n    return [x]",
        "def f(x):\n    return h(x)\ndef h(x):\n    return [x][:LAST]\nLAST = max(1, 2)",
        "async def other(): pass\nf = lambda x: [x]",
        "def f(x):\n    return [x]\nf = None",
    ],
)
def test_a_function_is_found_however_it_is_defined(source: str) -> None:
    assert result(extract_function(f"{source}\nprint(f(3))\nassert f(3) == [3]\n", "f")) == [0]


@pytest.mark.parametrize(
    "left_out",
    [
        "print('hi')",
        "assert True",
        "NAME = input()",
        "DATA = open('data').read()",
        "for n in range(3):\n    assert n",
        "if __name__ == '__main__':\n    x = 1",
        "OTHER = print(1)",
        "main()",
        "import doctest\ndoctest.testmod()",
        "x = f(3)",
    ],
)
def test_what_only_runs_is_left_out(left_out: str) -> None:
    function = "def f(x):\n    return x\n"
    for text in (f"{left_out}\n{function}", f"{function}{left_out}\n"):
        program = extract_function(text, "f")
        assert program is not None
        assert left_out.splitlines()[-1] not in program


def test_settings_of_the_interpreter_are_kept() -> None:
    import sys
    from decimal import getcontext

    before, digits = sys.getrecursionlimit(), getcontext().prec
    text = (
        "import sys\nfrom decimal import getcontext\nsys.setrecursionlimit(4321)\ngetcontext().prec = 33\n"
        + USES
    )
    try:
        assert result(extract_function(f"NEEDED = 1\n{text}", "f"))[0] == 1
        assert (sys.getrecursionlimit(), getcontext().prec) == (4321, 33)
    finally:
        sys.setrecursionlimit(before)
        getcontext().prec = digits


def test_deferred_hints_stay_deferred_behind_the_imports_of_a_task() -> None:
    text = "from __future__ import annotations\ndef f(x: Missing):\n    return x\n"
    for prelude in ("", "import math"):
        assert result(extract_function(text, "f", prelude)) == 0


def test_local_names_and_attributes_are_not_needed() -> None:
    def used(text: str, when_called: bool = True) -> set[str]:
        return names_used(ast.parse(text).body[0], when_called=when_called)

    function = "def f(a, b=B):\n    c = a.d + e\n    return [c for g in h if g]\n"
    assert used(function) == {"B", "e", "h"}
    assert used(function, when_called=False) == {"B"}
    assert used("class C(D):\n    x = E\n    def g(self): return F", when_called=False) == {"D", "E"}
    assert used("x = [y for z in W]", when_called=False) == {"y", "W"}
    assert used("def f():\n    global g\n    g = h") == {"h"}
    assert names_bound(ast.parse("x = [y for z in W]").body[0]) == {"x"}


@given(st.text("\n `dfNx():=[1]+=\tlambda.import", max_size=80), st.sampled_from(["", USES, "f = N\n"]))
def test_extraction_never_raises_and_gives_a_program_that_parses(text: str, function: str) -> None:
    program = extract_function(text + "\n" + function, "f")
    assert program is None or parse_quietly(program) is not None


@pytest.mark.parametrize(
    "deep", ["x = " + "-" * 3000 + "1", "x = 1" + " + 1" * 3000, "x" + "[0]" * 2000 + " = 1"]
)
def test_a_deep_statement_beside_the_function_does_no_harm(deep: str) -> None:
    text = f"def f(x):\n    return x\nprint(1)\n{deep}\n"
    assert extract_function(text, "f") is None or "def f" in str(extract_function(text, "f"))


def test_the_first_definition_counts() -> None:
    tree = ast.parse("x = 1\ndef f(): pass\ndef f(): pass\n")
    assert definition(tree.body, "f") is tree.body[1]
    assert definition(tree.body, "x") is None
    assert definition(tree.body, "g") is None
