"""Programs with another call shape behave the same."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import dataset
from trainer.data.call_shapes import call_variant
from trainer.stages.problems import Problem

PLAIN = st.recursive(
    st.integers(-9, 9) | st.text("ab'\"\\\n", max_size=3) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "assertion", "wanted", "claim"),
    [
        pytest.param(
            "def f(xs):\n    return max(xs)", "assert f([3, 7, 1]) == 7",
            "def f(xs, n):\n    return max(xs)", "assert f([3, 7, 1], 3) == 7", id="a length",
        ),
        pytest.param(
            "def f(n):\n    return n.upper()", "assert f('ab') == 'AB'",
            "def f(n, length):\n    return n.upper()", "assert f('ab', 2) == 'AB'", id="a name that is free",
        ),
        pytest.param(
            "import math\n\ndef f(a, b):\n    return math.pow(a, b)", "assert f(2, 3) == 8.0",
            "import math\n\ndef f(b, a):\n    return math.pow(a, b)", "assert f(3, 2) == 8.0", id="places",
        ),
        pytest.param(
            "def f(x: list[int], k: int) -> int:\n    return x[k]", "assert f([5, 6], 1) == 6",
            "def f(k: int, x: list[int]) -> int:\n    return x[k]", "assert f(1, [5, 6]) == 6", id="typed",
        ),
    ],
)  # fmt: skip
def test_a_call_and_its_program_get_another_shape(
    source: str, assertion: str, wanted: str, claim: str
) -> None:
    assert call_variant(source, assertion, "f") == (wanted, claim)


@pytest.mark.parametrize(
    ("source", "assertion"),
    [
        pytest.param("def f(x):\n    return x + 1", "assert f(1) == 2", id="a number has no length"),
        pytest.param("def f(x):\n    return len(x)", "assert f(range(3)) == 3", id="not written down"),
        pytest.param("def f(x):\n    return len(x)", "assert f({[]}) == 3", id="no value at all"),
        pytest.param("def f(a, b):\n    return a + b", "assert f(2, 2) == 4", id="both alike"),
        pytest.param("def f(a, b, c):\n    return a", "assert f(1, 2, 3) == 1", id="three"),
        pytest.param("def f():\n    return 1", "assert f() == 1", id="none"),
        pytest.param("def f(x, k=1):\n    return x", "assert f('a') == 'a'", id="a default"),
        pytest.param("def f(a, /, b):\n    return a", "assert f(1, 2) == 1", id="by position only"),
        pytest.param("def f(a, *, b):\n    return a", "assert f(1, b=2) == 1", id="by name"),
        pytest.param("def f(a, b):\n    return a", "assert f(1, b=2) == 1", id="given by name"),
        pytest.param("def f(*a):\n    return a[0]", "assert f('a') == 'a'", id="any number"),
        pytest.param("def f(a):\n    return a", "assert f(*'a') == 'a'", id="spread out"),
        pytest.param("def f(x):\n    return x and f(x[1:])", "assert f('') == ''", id="it calls itself"),
        pytest.param("def f(x):\n    return 1\nf = len", "assert f('ab') == 2", id="bound again"),
        pytest.param("@once\ndef f(x):\n    return x", "assert f('a') == 'a'", id="decorated"),
        pytest.param("def g(x):\n    return x", "assert f('a') == 'a'", id="not defined"),
        pytest.param("def f(n, length, size): ...", "assert f('a') == 'a'", id="another number"),
        pytest.param("def f(n):\n    length = size = n\n    return n", "assert f('a') == 'a'", id="no name is free"),
        pytest.param("def f(x):\n    return x", "assert g(f('a')) == 'a'", id="not called alone"),
        pytest.param("def f(x):\n    return x", "assert f('a')", id="no value"),
        pytest.param("def f(x):\n    return x", "assert f('a') == 'a' == 'a'", id="two values"),
        pytest.param("def f(x:", "assert f('a') == 'a'", id="no program"),
        pytest.param("def f(x):\n    return x", "assert f('a' ==", id="no assert"),
    ],
)  # fmt: skip
def test_other_calls_have_no_variant(source: str, assertion: str) -> None:
    assert call_variant(source, assertion, "f") is None


@given(st.lists(PLAIN, min_size=1, max_size=2))
def test_a_variant_returns_the_same_value(arguments: list[object]) -> None:
    names = ("a", "b")[: len(arguments)]
    source = f"def f({', '.join(names)}):\n    return [{', '.join(names)}]"
    assertion = f"assert f({', '.join(map(repr, arguments))}) == {arguments!r}"
    made = call_variant(source, assertion, "f")
    lengthless = len(arguments) == 1 and not hasattr(arguments[0], "__len__")
    alike = len(arguments) == 2 and repr(arguments[0]) == repr(arguments[1])
    assert (made is None) is (lengthless or alike)
    if made is not None:
        program, claim = made
        exec(f"{program}\n{claim}", {})  # made by this test
        if len(arguments) == 1 or arguments[0] != arguments[1]:  # 0 is False to an assert
            with pytest.raises((TypeError, AssertionError)):
                exec(f"{source}\n{claim}", {})  # made by this test


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_accepted(source: str, assertion: str) -> None:
    assert call_variant(source, assertion, "f") is None


def test_a_variant_has_the_same_sentence() -> None:
    stub = 'def f(xs: list) -> int:\n    """Do.\n\n    >>> f([1])\n    1\n    """'
    problem = Problem("Find the largest.", "hint", "f", stub)
    rows = dataset.examples(problem, ["def f(xs):\n    return max(xs)"], ["assert f([3, 7]) == 7"], str)
    sentence, stub, variant = (row.prompt for row in rows)
    assert variant == sentence.replace("f([3, 7])", "f([3, 7], 2)")
    assert ">>> f([3, 7])\n" in stub
    assert "def f(xs, n):" in rows[2].completion
    assert ast.parse(rows[2].completion.removeprefix("```python\n").removesuffix("\n```"))
