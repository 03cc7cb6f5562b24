"""Programs asked for in another shape do what they did."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import dataset
from trainer.problems import Problem
from trainer.shapes import (
    VERDICTS,
    called_otherwise,
    counted,
    for_each,
    in_another_container,
    in_words,
    variants,
)

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
def test_a_call_has_another_shape_and_the_program_follows(
    source: str, assertion: str, wanted: str, claim: str
) -> None:
    assert called_otherwise(source, assertion, "f") == (wanted, claim)


@pytest.mark.parametrize(
    ("source", "assertion"),
    [
        pytest.param("def f(x):\n    return x + 1", "assert f(1) == 2", id="a number has no length"),
        pytest.param("def f(x):\n    return len(x)", "assert f(range(3)) == 3", id="not written down"),
        pytest.param("def f(x):\n    return len(x)", "assert f({[]}) == 3", id="no value at all"),
        pytest.param("def f(a, b):\n    return a + b", "assert f(2, 2) == 4", id="both alike"),
        pytest.param("def f(a, b, c):\n    return a", "assert f(1, 2, 3) == 1", id="three"),
        pytest.param("def f():\n    return 1", "assert f() == 1", id="none"),
        pytest.param("def f(n, length, size): ...", "assert f('a') == 'a'", id="another number"),
        pytest.param("def f(n):\n    length = size = n\n    return n", "assert f('a') == 'a'", id="no name is free"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_otherwise_is_left_alone(source: str, assertion: str) -> None:
    assert called_otherwise(source, assertion, "f") is None


def test_a_list_of_arguments_gives_the_list_of_what_each_gives() -> None:
    source = "def f(xs):\n    return sum(x for x in xs)"
    claims = ["assert f([1, 2]) == 3", "assert f((5,)) == 5", "assert f([4]) == 4"]
    assert for_each(source, claims, "f") == (
        "def f(items):\n    return [sum((x for x in xs)) for xs in items]",
        "assert f([[1, 2], [4]]) == [3, 4]",
    )


@pytest.mark.parametrize(
    ("source", "claims"),
    [
        pytest.param("def f(x):\n    return x", ["assert f(1) == 1"], id="one argument"),
        pytest.param("def f(x):\n    return x", ["assert f(1) == 1", "assert f('a') == 'a'"], id="of other types"),
        pytest.param("def f(x):\n    x += 1\n    return x", ["assert f(1) == 2", "assert f(2) == 3"], id="statements"),
        pytest.param("def f(x):\n    return", ["assert f(1) == None", "assert f(2) == None"], id="no value"),
        pytest.param("def f(x):\n    pass", ["assert f(1) == None", "assert f(2) == None"], id="no return"),
        pytest.param("def f(a, b):\n    return a", ["assert f(1, 1) == 1", "assert f(2, 1) == 2"], id="two parameters"),
        pytest.param(
            "def f(rows):\n    return [items for items in rows if groups]",
            ["assert f([]) == []", "assert f([]) == []"], id="no name is free",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_for_each_is_left_alone(source: str, claims: list[str]) -> None:
    assert for_each(source, claims, "f") is None


@pytest.mark.parametrize(
    ("source", "assertion", "wanted", "claim"),
    [
        pytest.param(
            "def f(xs):\n    return [x for x in xs if x]", "assert f([0, 1]) == [1]",
            "def f(xs):\n    return tuple((x for x in xs if x))", "assert f([0, 1]) == (1,)", id="comprehension",
        ),
        pytest.param(
            "def f(xs):\n    ys = set(xs)\n    return list(ys)", "assert f([1]) == [1]",
            "def f(xs):\n    ys = set(xs)\n    return tuple(ys)", "assert f([1]) == (1,)", id="container",
        ),
        pytest.param(
            "def f(a, b):\n    return a, b", "assert f(1, 2) == (1, 2)",
            "def f(a, b):\n    return [a, b]", "assert f(1, 2) == [1, 2]", id="tuple",
        ),
        pytest.param(
            "def f(a, b):\n    return [a, b]", "assert f(1, 2) == [1, 2]",
            "def f(a, b):\n    return (a, b)", "assert f(1, 2) == (1, 2)", id="list",
        ),
        pytest.param(
            "def f(xs):\n    return sorted(xs)", "assert f([]) == []",
            "def f(xs):\n    return tuple(sorted(xs))", "assert f([]) == ()", id="call",
        ),
    ],
)  # fmt: skip
def test_a_list_becomes_a_tuple_and_the_other_way_round(
    source: str, assertion: str, wanted: str, claim: str
) -> None:
    assert in_another_container(source, assertion, "f") == (wanted, claim)


def test_what_was_listed_is_counted() -> None:
    source, assertion = "def f(xs):\n    return {x for x in xs if x}", "assert f([0, 1, 1]) == {1}"
    assert counted(source, assertion, "f") == (
        "def f(xs):\n    return len({x for x in xs if x})",
        "assert f([0, 1, 1]) == 1",
    )


@pytest.mark.parametrize("value", [True, False])
def test_a_verdict_is_said_in_words(value: bool) -> None:
    made = in_words("def f(x):\n    return x", f"assert f({value}) == {value}", "f")
    assert made is not None
    program, claim = made
    said = ast.literal_eval(claim.partition(" == ")[2])
    assert said in {words[not value] for words in VERDICTS}
    exec(f"{program}\n{claim}", {})  # made by this test


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("def f(x):\n    return x", "3", id="a number"),
        pytest.param("def f(x):\n    return x", "'a'", id="a text"),
        pytest.param("def f(x):\n    return x", "{1: 2}", id="a dictionary"),
        pytest.param("def f(x):\n    return x", "None", id="nothing"),
        pytest.param("def f(x):\n    return x", "g(1)", id="not written down"),
        pytest.param("def f(x):\n    if x:\n        return []\n    return True", "True", id="two returns"),
        pytest.param("def f(x):\n    if x:\n        return [x]", "[1]", id="it may end without"),
        pytest.param("def f(x):\n    yield x\n    return []", "[1]", id="a generator"),
        pytest.param("def f(x):\n    return", "[1]", id="no value"),
    ],
)
def test_another_result_is_left_alone(source: str, value: str) -> None:
    for change in (in_another_container, counted, in_words):
        assert change(source, f"assert f(1) == {value}", "f") is None


@pytest.mark.parametrize(
    ("source", "assertion"),
    [
        pytest.param("def f(x, k=1):\n    return [x]", "assert f('a') == ['a']", id="a default"),
        pytest.param("def f(a, /, b):\n    return [a]", "assert f(1, 2) == [1]", id="by position only"),
        pytest.param("def f(a, *, b):\n    return [a]", "assert f(1, b=2) == [1]", id="by name"),
        pytest.param("def f(a, b):\n    return [a]", "assert f(1, b=2) == [1]", id="given by name"),
        pytest.param("def f(*a):\n    return [a]", "assert f('a') == [('a',)]", id="any number"),
        pytest.param("def f(a):\n    return [a]", "assert f(*'a') == ['a']", id="spread out"),
        pytest.param("def f(x):\n    return x and f(x[1:])", "assert f([]) == []", id="it calls itself"),
        pytest.param("def f(x):\n    return [1]\nf = list", "assert f('ab') == ['a', 'b']", id="bound again"),
        pytest.param("@once\ndef f(x):\n    return [x]", "assert f('a') == ['a']", id="decorated"),
        pytest.param("def g(x):\n    return [x]", "assert f('a') == ['a']", id="not defined"),
        pytest.param("def f(x):\n    return [x]", "assert g(f('a')) == ['a']", id="not called alone"),
        pytest.param("def f(x):\n    return [x]", "assert f('a')", id="no value"),
        pytest.param("def f(x):\n    return [x]", "assert f('a') == ['a'] == ['a']", id="two values"),
        pytest.param("def f(x:", "assert f('a') == ['a']", id="no program"),
        pytest.param("def f(x):\n    return [x]", "assert f('a' ==", id="no assert"),
        pytest.param("def f(x):\n    return [x]", f"assert f({'a' * 150!r}) == [{'a' * 150!r}]", id="too long"),
    ],
)  # fmt: skip
def test_what_is_not_plain_has_no_variants(source: str, assertion: str) -> None:
    assert variants(source, [assertion], "f") == []


@given(st.integers(1, 2).flatmap(lambda n: st.tuples(*[st.lists(PLAIN, min_size=n, max_size=n)] * 2)))
def test_a_variant_fulfils_its_assert_and_the_program_does_not(
    calls: tuple[list[object], list[object]],
) -> None:
    one, two = calls
    names = ", ".join(("a", "b")[: len(one)])
    returns: dict[str, Callable[[list[object]], object]] = {
        f"[{names}]": list,
        f"({names},)": tuple,
        f"[{names}] == {one!r}": lambda arguments: arguments == one,
    }
    for returned, value in returns.items():
        source = f"def f({names}):\n    return {returned}"
        claims = [f"assert f({', '.join(map(repr, call))}) == {value(call)!r}" for call in (one, two)]
        for program, claim in variants(source, claims, "f"):
            exec(f"{program}\n{claim}", {})  # made by this test
            if len(one) == 1 or one[0] != one[1]:  # 0 is False to an assert
                with pytest.raises((TypeError, AssertionError)):
                    exec(f"{source}\n{claim}", {})  # made by this test


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_is_answered(source: str, assertions: list[str]) -> None:
    assert variants(source, assertions, "f") == []


def test_the_data_set_asks_for_variants_by_the_same_sentence() -> None:
    stub = 'def f(xs: list) -> list:\n    """Do.\n\n    >>> f([1])\n    1\n    """'
    problem = Problem("Find the distinct ones.", "hint", "f", stub)
    rows = dataset.examples(
        problem, ["def f(xs):\n    return list(set(xs))"], ["assert f([3, 7]) == [3, 7]"], str
    )
    sentence, stub, *others = (row.prompt for row in rows)
    wanted = ["f([3, 7], 2) == [3, 7]", "f([3, 7]) == (3, 7)", "f([3, 7]) == 2"]
    assert others == [sentence.replace("f([3, 7]) == [3, 7]", shown) for shown in wanted]
    assert ">>> f([3, 7])\n" in stub
    assert "def f(xs, n):" in rows[2].completion
    for row in rows:
        assert ast.parse(row.completion.removeprefix("```python\n").removesuffix("\n```"))
