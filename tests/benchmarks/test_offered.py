"""The benchmark of offered completions: its cursor positions.

It measures the server's own flow, which has its own tests.
"""

from __future__ import annotations

import pytest

from benchmarks.places import document
from trainer.evaluation.task import Task

STUB = 'def f(x):\n    """Add."""\n    '


@pytest.mark.parametrize(
    ("body", "block", "line"),
    [
        (["return x + 1"], None, "return "),
        (["y = x", "return y + 1"], "y = x\n    ", "y = x\n    return "),
        (["y = x", "y += 1", "return y"], "y = x\n    y += 1\n    ", "y = x\n    y += 1\n    return "),
        (["for y in x:", "    print(y)"], None, None),
        (["if x:", "    y()", "return 2"], "if x:\n        y()\n    ", "if x:\n        y()\n    return "),
    ],
)  # fmt: skip
def test_the_cursor_is_where_the_reference_continues(
    body: list[str], block: str | None, line: str | None
) -> None:
    reference = "import re\n\n" + STUB + "\n    ".join(body) + "\n"
    task = Task("a", STUB, "solve_stub", "f", "", reference, ())
    assert document(task, "body") == STUB
    for cursor, begun in (("block", block), ("line", line)):
        assert document(task, cursor) == (None if begun is None else STUB + begun)
