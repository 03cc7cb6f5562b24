"""Normal forms: the differences that make two patches two votes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.behaviour.forms import form_of, normal_form
from tests.ci.sample_module import SOURCE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""\n', ""),
        ('    """Twice n."""\n', "    # twice\n"),
        ("double", "twice"),
        ("(n: int) -> int", "(n)"),
        ("double: int = ", "double = "),
        ("for v in values]", "for  v in  values ]  # all"),
        ("    return double", "    pass\n    return double"),
        ("(n: int)", "(number)"),
    ],
)
def test_changes_without_effect_make_the_same_program(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    if "(number)" in new:
        changed = changed.replace("n * 2", "number * 2")
    if new == "twice":
        assert "double" not in changed
    assert changed != SOURCE
    assert normal_form(changed) == normal_form(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n * 2", "n * 3"),
        ("n * 2", "n + n"),
        ("RATE = 7", "RATE = 8"),
        ("import os", "import sys"),
        ("self.size * RATE", "RATE * self.size"),
        ("size = 3", "size = 4"),
    ],
)
def test_changes_with_effect_make_another_program(old: str, new: str) -> None:
    assert normal_form(SOURCE.replace(old, new)) != normal_form(SOURCE)


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True))
def test_the_name_of_a_local_never_counts(name: str) -> None:
    source = "def f(a):\n    {0} = a + 1\n    return {0}\n"
    try:
        compile(source.format(name), "x", "exec")
    except SyntaxError:
        return  # a keyword
    if name != "a":
        assert normal_form(source.format(name)) == normal_form(source.format("q"))


ALIKE = {
    "the name of an error": "def f(s):\n    try:\n        s()\n    except KeyError as {0}:\n        return {0}\n",
    "a function inside": "def f(s):\n    def {0}(n):\n        return n + 1\n\n    return {0}(s)\n",
    "a parameter inside": "def f(s):\n    def inner({0}):\n        return {0} + 1\n\n    return inner(s)\n",
    "a class inside": "def f(s):\n    class {0}:\n        x = 1\n\n    return {0}.x\n",
    "an import inside": "def f(s):\n    import math as {0}\n\n    return {0}.pi\n",
    "a part imported inside": "def f(s):\n    from math import pi as {0}\n\n    return {0}\n",
    "a capture": "def f(s):\n    match s:\n        case [{0}]:\n            return {0}\n",
    "a capture of a kind": "def f(s):\n    match s:\n        case int() as {0}:\n            return {0}\n",
    "a captured rest": "def f(s):\n    match s:\n        case [1, *{0}]:\n            return {0}\n",
    "a captured mapping": "def f(s):\n    match s:\n        case {{1: 2, **{0}}}:\n            return {0}\n",
    "a nonlocal": "def f():\n    {0} = 1\n\n    def g():\n        nonlocal {0}\n        {0} += 1\n\n    return g\n",
    "beside a global": "def f():\n    {0} = 1\n\n    def g():\n        global one\n        one = 2\n\n    return {0}\n",
    "a walrus": "def f(s):\n    any(({0} := n) for n in s)\n    return {0}\n",
    "one of two comprehensions": "def f(s):\n    return [one for one in s] + [{0} for {0} in s]\n",
    "a comprehension of its namesake": "def f(one):\n    return [{0} for {0} in one]\n",
    "a lambda of the module": "KEY = lambda {0}: {0} + 1\n",
    "a comprehension of the module": "KEYS = [{0} + 1 for {0} in range(3)]\n",
}


@pytest.mark.parametrize("case", ALIKE)
def test_names_inside_functions_do_not_count(case: str) -> None:
    forms = {normal_form(ALIKE[case].format(name)) for name in ("one", "two", "three")}
    assert len(forms) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n    result = 0\n    return result\n", "def f():\n    result = 0\n    return v0\n"),
        ("def f(a, b):\n    return a - b\n", "def f(a, b):\n    return b - a\n"),
        ("def f(x):\n    return [x for y in x]\n", "def f(x):\n    return [y for y in x]\n"),
        ("X = lambda a: b\n", "X = lambda b: b\n"),
        ("class P:\n    x: int\n", "class P:\n    y: int\n"),
    ],
)
def test_names_that_mean_something_else_count(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RATE = 7\n", "RATE: int = 7\n"),
        ("class P:\n    x: int\n", "class P:\n    x: float\n"),
        ("def f(s):\n    return s\n", "def f(s):\n    x: int\n    return s\n"),
    ],
)
def test_annotations_do_not_count(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@given(st.text(max_size=60))
def test_any_text_has_a_form(text: str) -> None:
    assert normal_form(text) == normal_form(text)


def test_a_text_too_deep_to_parse_has_a_form() -> None:
    deep = "x = " + "-" * 3000 + "1\n"
    assert normal_form(deep) == normal_form(deep)
    assert normal_form("x = " + "+ 1" * 5000 + "\n")


def test_the_form_of_a_patch_leaves_out_documentation() -> None:
    assert form_of({"a.py": "x = 1"}) == form_of({"a.py": "x = 1  # one", "README.md": "new"})
    assert form_of({"a.py": "x = 1"}) != form_of({"b.py": "x = 1"})
    assert form_of({"a.py": None}) != form_of({"a.py": ""})
