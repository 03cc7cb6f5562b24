"""The programs of candidates: static tiers, slices, and broken documents around them."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import at
from ucoder_lsp.completion.document_slice import Tier, prepare, stub

DOCUMENT = """from __future__ import annotations
import no_such_module
import os

LIMIT = 3
CONNECTION = no_such_module.connect()
print("starting the server")


def f(x: int) -> int:
    \"\"\"Doc.\"\"\"
    |


class A:
    def g(self):
        return LIMIT


if __name__ == "__main__":
    raise SystemExit(f(1))
"""


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("return x + LIMIT", Tier.RESOLVES),
        ("return A().g()", Tier.RESOLVES),
        ("return y", Tier.PARSES),
        ("import re\n    return re.escape(str(x))", Tier.RESOLVES),
        ("return (x", Tier.BROKEN),
        ("return x\n```", Tier.BROKEN),
        ("\x00", Tier.BROKEN),
    ],
)
def test_static_tier(text: str, tier: Tier) -> None:
    assert prepare(text, at(DOCUMENT)).tier is tier


def test_the_program_keeps_what_is_needed_and_drops_actions() -> None:
    source = prepare("return x + LIMIT + 0 * A().g()", at(DOCUMENT)).source
    assert "def f" in source
    assert "class A" in source
    assert "print" not in source
    assert "raise" not in source
    # A failing import or constant loses only its own name. The text is this test's own, so it may run here.
    namespace: dict[str, object] = {}
    exec(compile(source, "slice", "exec"), namespace)
    assert namespace["f"](4) == 7  # type: ignore[operator]


def test_broken_statements_elsewhere_are_left_out() -> None:
    context = at("def broken(:\n    x = = 1\n\n\n" + DOCUMENT)
    runnable = prepare("return x", context)
    assert runnable.tier is Tier.RESOLVES
    assert "broken" not in runnable.source


def loaded(marked: str, text: str) -> dict[str, Any]:
    """Return the names of a candidate's program after it ran; the documents are this test's own."""
    runnable = prepare(text, at(marked))
    assert runnable.tier is Tier.RESOLVES
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile(runnable.source, "slice", "exec", dont_inherit=True), namespace)
    return namespace


BLOCKS = [
    "if False:\n    {}",
    "if True:\n    pass\nelif False:\n    {}",
    "if True:\n    pass\nelse:\n    {}",
    "try:\n    import no_such_module\n    {}\nexcept ImportError:\n    pass",
    "try:\n    import json\nexcept ImportError:\n    {}",
    "try:\n    raise ValueError\nexcept ValueError:\n    pass\nelse:\n    {}",
    "try:\n    pass\nfinally:\n    {}",
    "with no_such_name as file:\n    {}",
    "for i in []:\n    if i:\n        continue\n    {}\n    break",
    "for i in []:\n    break\nelse:\n    {}",
    "while False:\n    {}",
    "match 1:\n    case 2:\n        {}",
    "match 1:\n    case [a, *_]:\n        {}\n    case _:\n        def f(x): return 0",
]
FUNCTION = "def f(x):\n    |"
METHOD = "class A:\n    LIMIT = 1\n    {}"


def nested(*templates: str) -> str:
    """Put each template into the block of the one before."""
    found = "{}"
    for template in templates:
        before = found[: found.index("{}")]
        indent = before[before.rfind("\n") + 1 :]
        found = found.replace("{}", template.replace("\n", "\n" + indent))
    return found + "\n"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("outer", ["{}", BLOCKS[0], BLOCKS[4], BLOCKS[8]])
def test_a_function_in_any_block_can_be_called(outer: str, block: str) -> None:
    assert loaded(nested(outer, block, FUNCTION), "return x + 1")["f"](1) == 2
    method = nested(outer, METHOD, block, "def f(self):\n    |")
    assert loaded(method, "return self.LIMIT")["A"]().f() == 1
    assert loaded(nested(block, METHOD, outer, "def f(self):\n    |"), "return self.LIMIT")["A"]().f() == 1


@pytest.mark.parametrize("block", BLOCKS)
def test_a_function_in_any_block_has_a_stub(block: str) -> None:
    source = stub(at(nested(block, 'def f(x):\n    """Doc."""\n    return |')))
    assert any(isinstance(each, ast.FunctionDef) and each.name == "f" for each in ast.parse(source).body)


def test_the_function_under_the_cursor_wins_over_others_of_its_name() -> None:
    marked = "if True:\n    def f(x):\n        |\nelse:\n    def f(x):\n        return 0\n"
    after = "\ndef f(x): return 0\ntry:\n    from os import getcwd as f\nexcept ImportError:\n    pass\nf = None\n"
    assert loaded(marked + after, "return 5 if x else f(1)")["f"](0) == 5
    assert loaded("def f(x):\n    |\n\nf = [f][0]\n" + after, "return 5")["f"](1) == 5


@pytest.mark.parametrize(
    ("before", "after", "text", "expected"),
    [
        ("try:\n    import no_such as json\nexcept ImportError:\n    import json\n", "", "json.dumps(x)", "2"),
        ("try:\n    import no_such\nexcept ImportError:\n    no_such = None\n", "", "no_such", None),
        ("import sys\nif sys.version_info > (3,):\n    N = 1\nelse:\n    N = 2\n", "", "N", 1),
        ("if (N := 3) > 2:\n    print('big')\n", "", "N", 3),
        ("T = {}\nfor i in range(3):\n    T[i] = i * i\n", "", "T[x]", 4),
        ("T = []\nfor i in range(3):\n    T.append(i)\n", "", "len(T)", 3),
        ("T = []\ni = 0\nwhile i < 3:\n    T.append(i)\n    i += 1\n", "", "len(T)", 3),
        ("N = 1\nN += 1\n", "", "N", 2),
        ("N: int = 1\nM = N\ndel N\n", "", "'N' in globals()", False),
        ("T = {}\ndef g(): return 7\nT['g'] = g\n", "", "T['g']()", 7),
        ("T = {}\n", "T['f'] = f\n", "list(T)", ["f"]),
        ("T = {}\nT.update(a=1)\nT.setdefault('b', 2)\n", "", "T", {"a": 1, "b": 2}),
        ("T = []\ndef register(g):\n    T.append(g.__name__)\n    return g\n@register\ndef g(): ...\n", "", "T", ["g"]),
        ("N = 0\ndef load():\n    global N\n    N = 4\nload()\n", "", "N", 4),
        ("N = 0\ndef load():\n    global N\n    N = 4\ndef setup():\n    load()\nsetup()\n", "", "N", 4),
        ("import random\nrandom.seed(1)\n", "", "random.random()", 0.13436424411240122),
        ("import random\nT = [1, 2, 3]\nrandom.seed(1)\nrandom.shuffle(T)\n", "", "T", [2, 3, 1]),
        ("class A:\n    pass\nA.n = 5\n", "", "A.n", 5),
        ("class A:\n    n = []\n    def __init_subclass__(cls): A.n.append(1)\nclass B(A): ...\n", "", "A.n", [1]),
        ("with open('/no/such/file') as file:\n    TEXT = file.read()\nN = 1\n", "", "N", 1),
        ("import contextlib\nwith contextlib.suppress(OSError):\n    N = 1\n    open('/no/such')\n", "", "N", 1),
        ("match 1:\n    case int(N):\n        M = N + 1\n", "", "M", 2),
        ("if True:\n    N = no_such.thing\n    M = 1\nif 0: no_such = 1\n", "", "M", 1),
        ("import os.path, no_such_module\n", "", "os.path.basename('a/b')", "b"),
        ("from typing import TypeAlias\nX: TypeAlias = 'list[int]'\n", "", "X", "list[int]"),
        ("from math import *\n", "", "floor(x)", 2),
        ("try:\n    import no_such\nexcept ImportError:\n    raise SystemExit(1)\n", "", "x or no_such", 2),
        ("def g(n): return f(n - 1)\n", "", "g(x) if x > 0 else x", 0),
        ("N = 1\nT = []\nwhile True:\n    T.append(N)\n", "", "T + [N]", [1]),
        ("T = []\n", "for i in range(3):\n    T.append(f(i))\n", "list(T)", []),
        ("S = 0\n", "while f(S) is not S:\n    S = f(S)\n", "S", 0),
        ("T = []\n", "if __name__ == '__main__':\n    T.append(1)\nprint(T)\n", "T", []),
        ("def serve(n): raise SystemExit\nN = 1\nserve(80)\n", "", "N", 1),
        ("class A:\n    def run(self): raise KeyboardInterrupt\na = A()\n", "a.run()\n", "a is not None", True),
        ("K = 'N'\nN = 3\n", "", "globals()[K]", 3),
    ],
)  # fmt: skip
def test_what_a_function_needs_is_kept(before: str, after: str, text: str, expected: object) -> None:
    assert loaded(f"{before}\ndef f(x):\n    |\n\n{after}", f"return {text}")["f"](2) == expected


@pytest.mark.parametrize(
    "unneeded",
    [
        "print('starting')",
        "import no_such_module\nno_such_module.serve()",
        "for i in range(10**12): print(i)",
        "while True:\n    pass",
        "x = input()",
        "if __name__ == '__main__':\n    raise SystemExit(f(1))",
        "parser = make()\narguments = parser.parse_args()",
        "def main():\n    print(f(1))\nmain()",
        "for i in range(3):\n    print(f(i), N)",
    ],
)
def test_what_a_function_does_not_need_is_left_out(unneeded: str) -> None:
    source = prepare("return x + N", at(f"N = 1\ndef f(x):\n    |\n\n{unneeded}\n")).source
    kept = [each for each in ast.parse(source).body if not isinstance(each, ast.FunctionDef)]
    assert len(kept) == 1, source


@pytest.mark.parametrize(
    "header",
    [
        "def f(x: List[int]) -> Optional[int]:",
        "@app.route('/')\ndef f(x):",
        "@no_such.cache\nasync def f(x: no_such.Type):",
        "@functools.cache\ndef f(x):",
        "@typing.overload\ndef f(x: int): ...\n@functools.wraps(len)\ndef f(x, *rest: List, **more: Dict):",
    ],
)
def test_a_header_that_fails_does_not_lose_the_function(header: str) -> None:
    imports = "import functools, typing\nimport no_such\napp = no_such.App()\n"
    namespace = loaded(f"{imports}{header}\n    |\n", "return 1")
    assert callable(namespace["f"])


def test_only_the_annotation_with_an_undefined_name_becomes_text() -> None:
    marked = "from dataclasses import dataclass\n@dataclass\nclass A:\n    a: List[int]\n    b: int = 1\n"
    namespace = loaded(marked + "def f(x: List[A], y: int):\n    |\n", "return A([x]).a")
    assert namespace["f"].__annotations__ == {"x": "List[A]", "y": int}
    assert namespace["f"](3, 1) == [3]


def test_annotations_are_text_only_where_the_document_says_so() -> None:
    marked = "def f(x: int):\n    |\n"
    assert loaded(marked, "return x")["f"].__annotations__ == {"x": int}
    future = '"""Doc."""\nfrom __future__ import annotations\n'
    assert loaded(future + marked, "return x")["f"].__annotations__ == {"x": "int"}


def test_methods_with_decorators_keep_them() -> None:
    marked = """class A:
    @staticmethod
    def s(x: Missing): return x
    @classmethod
    def c(cls, x): return x
    @property
    def p(self): return 1
    @p.setter
    def p(self, x): self.x = x
    @no_such.thing
    def lost(self): return 1
    def f(self):
        |
"""
    a = loaded(marked, "self.p = 5\n        return self.s(1), self.c(2), self.p, self.x")["A"]()
    assert a.f() == (1, 2, 1, 5)


def test_a_broken_statement_above_does_not_move_the_cursor() -> None:
    branches = "if 0:\n    def f(x):\n        |\nelse:\n    def f(x):\n        return 2\n"
    marked = f"x = = 1\n\n\n{branches}"
    assert loaded(marked, "return 1")["f"](0) == 1


@given(
    st.lists(st.sampled_from([*BLOCKS, METHOD]), max_size=4),
    st.sampled_from(["return x", "yield x", "return [y for y in x]"]),
)
def test_any_nesting_gives_a_program_that_parses(templates: list[str], text: str) -> None:
    source = prepare(text, at(nested(*templates, FUNCTION))).source
    assert any(isinstance(each, ast.FunctionDef) and each.name == "f" for each in ast.walk(ast.parse(source)))


@pytest.mark.parametrize(
    "marked",
    [
        'def f(x: int) -> int:\n    """Doc."""\n    |\n',
        'def f(x: int) -> int:\n    """Doc."""|\n',
        'def f(x: int) -> int:\n    """Doc."""\n    return |\n',
        'def f(x: int) -> int:\n    """Doc."""\n    return max(x, key=|)\n',
        'def f(x: int) -> int:\n    """Doc."""\n    if |\n',
        'def f(x: int) -> int:\n    """Doc."""\n    for i in |:\n        print(i)\n',
        'def f(x: int) -> int:\n    """Doc."""\n    y = [a * | for a in x]\n    return y\n',
    ],
)
def test_a_stub_has_the_signature_and_the_docstring(marked: str) -> None:
    tree = ast.parse(stub(at(marked)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert ast.get_docstring(function) == "Doc."
    assert ast.unparse(function.args) == "x: int"


def test_there_is_no_stub_outside_a_function() -> None:
    assert stub(at("x = |\n")) == ""


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("x = 1\n|\n", "return x"),
        ("def f(x):\n    |\n    return x\n", "await x"),
        ("def f(x):\n    |\n    return x\n", "break"),
        ("class A:\n    |\n", "yield 1"),
    ],
)
def test_what_parses_and_does_not_compile_is_broken(marked: str, text: str) -> None:
    assert prepare(text, at(marked)).tier is Tier.BROKEN


def test_a_document_that_never_compiled_is_judged_by_its_syntax() -> None:
    """A notebook's cell may hold an `await` outside functions."""
    assert prepare("y = 2", at("x = await f()\n|\n")).tier is not Tier.BROKEN
