"""The program in an answer, and the end of the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inputs.target import parse_quietly
from trainer.sampling.answers import as_written, end_of_answer, extract_function, with_imports


@pytest.mark.parametrize(
    ("answer", "kept", "left_out"),
    [
        ("Sure:\n```python\ndef f(x):\n    return x\n\nprint(f(1))\n```\nDone", "def f(x)", "print"),
        ("def f(x):\n    return 1\n\ndef f(x):\n    return 2\n", "return 1", "return 2"),
        ("```python\nimport os\nN = 3\ndef g(x):\n    return x\n```", "f = g", "print"),
        ("```\ndef f(x):\n    return h(x)\n\ndef h(x):\n    return x\n\nassert f(1)\n```", "def h", "assert"),
        ("```python\ndef f(x):\n    return x\n\ndef broken(", "def f(x)", "broken"),
    ],
)
def test_the_first_definition_is_kept_and_what_overrides_it_is_left_out(
    answer: str, kept: str, left_out: str
) -> None:
    program = extract_function(answer, "f")
    assert program is not None
    assert kept in program
    assert left_out not in program


@given(st.text("\n `dfx():=1returnpy", max_size=80))
def test_an_extracted_program_parses(answer: str) -> None:
    program = extract_function(answer, "f", "import math")
    assert program is None or parse_quietly(program) is not None


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("def f(x):\n    return x\n\nprint(f(1))", "def f(x):\n    return x"),
        ("```python\ndef f(x):\n    return x\n\nassert f(1)\n", "```python\ndef f(x):\n    return x\n```"),
        (
            "Here:\n```\ndef f(x):\n  return  x # so\n```\nDone",
            "Here:\n```\ndef f(x):\n  return  x # so\n```",
        ),
        (
            "import re\n\ndef f(x):\n    return x\n\ndef f(x):\n    return 2",
            "import re\n\ndef f(x):\n    return x",
        ),
        ("# so\rdef f(x):\r    return x\r\nprint(f(1))", "# so\ndef f(x):\n    return x"),
        ("def g(x):\n    return x\n", None),
        ("def f(x):\n    return (", None),
        ("It returns x.", None),
    ],
)
def test_an_answer_as_written_ends_with_its_function(answer: str, written: str | None) -> None:
    assert as_written(answer, "f") == written


@given(
    st.lists(
        st.sampled_from([*"def fx():\n\r =1`#*", "def f(x):\n  return x\n", "\n```\n"]), max_size=40
    ).map("".join)
)
def test_an_answer_as_written_is_part_of_the_answer_and_holds_the_same_program(answer: str) -> None:
    written = as_written(answer, "f")
    if written is not None:
        assert written.removesuffix("\n```") in answer.replace("\r\n", "\n").replace("\r", "\n")
        assert extract_function(written, "f") is not None
        assert as_written(written, "f") == written


@pytest.mark.parametrize(
    ("source", "imports"),
    [
        ("def f(r: float) -> float:\n    return math.pi * r\n", "import math"),
        ("def f(x: List[int]) -> Optional[int]:\n    return x[0]\n", "from typing import List, Optional"),
        ("def f(x):\n    return re.sub('a', '', random.choice(x))\n", "import random\nimport re"),
        ("def f(string):\n    return string.upper()\n", None),
        ("def f(x):\n    copy = x\n    return copy.lower()\n", None),
        ("import math as math\ndef f(x):\n    return math.pi\n", None),
        ("def f(x):\n    return math\n", None),  # not a module
        ("def cast(x):\n    return x\ndef f(x):\n    return cast(x)\n", None),
        ("def f(x:\n", None),
    ],
)
def test_a_program_gets_its_missing_imports(source: str, imports: str | None) -> None:
    assert with_imports(source) == (source if imports is None else f"{imports}\n\n{source}")


@given(st.text("dfmath.ref(x):=1\n ", max_size=60))
def test_adding_imports_never_breaks_a_program(source: str) -> None:
    assert with_imports(with_imports(source)) == with_imports(source)
    assert (parse_quietly(source) is None) == (parse_quietly(with_imports(source)) is None)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("```python\ndef f(x):\n    return x\n```\nIt returns x.", "```python\ndef f(x):\n    return x\n```"),
        ("def f(x):\n    return x\n\nprint(f(1))\nprint(f(2))", "def f(x):\n    return x\n\n"),
        (
            "```python\ndef f(x):\n    return x\n\nassert f(1) == 1\n",
            "```python\ndef f(x):\n    return x\n\n",
        ),
        ("def f(x):\n    return g(x)\n\n# helper\ndef g(x):\n    return x\n", None),
        ("def f(x):\n    return d\n\nclass A:\n    pass\n\nimport re\n\nasync", None),
        ("def g(x):\n    return x\n\nprint(g(1))\n", None),  # another function
        ('def f(x):\n    """\nSay x.\n', None),  # prose at the margin, but inside the docstring
        ("def f(\n    x,\n) -> int:\n    return x\n", None),
        ("def f(x):\n    return x\n\nd", None),  # may become `def`
    ],
)
def test_an_answer_ends_when_the_function_is_complete_and_something_else_follows(
    answer: str, kept: str | None
) -> None:
    end = end_of_answer("f").find_end
    seen = next(
        (part[:at] for n in range(len(answer) + 1) if (at := end(part := answer[:n])) is not None), None
    )
    assert seen == kept
    if kept is not None:
        assert extract_function(kept, "f") == extract_function(answer, "f") is not None


@given(
    st.lists(st.sampled_from([*"def fx():\n =1`#*", "def f(x):\n  return x\n", "\n```"]), max_size=40).map(
        "".join
    )
)
def test_the_end_of_any_answer_lies_inside_it(text: str) -> None:
    end = end_of_answer("f").find_end(text)
    assert end is None or 0 < end <= len(text)
