"""The examples of a stub can be replaced and removed."""

from __future__ import annotations

import ast
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st

from tests.trainer.second_largest import TASK
from trainer.stages import problems
from trainer.stages.problems import Problem
from trainer.stages.served_prompts import with_example


@given(
    st.lists(
        st.sampled_from(
            [
                '"""',
                "'''",
                '    """',
                "    ",
                "\n    ",
                "\n",
                "    >>> f(1)\n    1\n",
                "f(1) -> 1",
                ">>> f(1)",
                "\\",
                "x",
            ]
        ),
        max_size=12,
    )
)
@example(["    ", "'''", "\n", "    >>> f(1)\n    1\n", "    ", "'''"])
def test_another_example_never_breaks_a_stub(parts: list[str]) -> None:
    code = "def f(x: int) -> int:\n" + "".join(parts)
    found = problems.read(TASK, f" Do.\n\n```python\n{code}\n```\n")
    if isinstance(found, Problem):
        (function,) = ast.parse(with_example(found.stub, "assert f(2) == 3") + "\n    pass").body
        assert (ast.get_docstring(cast("ast.FunctionDef", function)) or "").endswith(">>> f(2)\n3")
