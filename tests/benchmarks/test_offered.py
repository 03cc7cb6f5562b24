"""The benchmark of offered completions: its cursor positions.

It measures the server's own flow, which has its own tests.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import pytest

from benchmarks.offered import question
from benchmarks.places import document, hole, load_places
from trainer.evaluation.task import Task
from ucoder_lsp.completion.forms import Ending, Form, Question

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


def test_a_hole_misses_one_line_of_the_body() -> None:
    reference = f"{STUB}y = x\n    y += 1\n\n    return y\n"
    place = hole(Task("a", STUB, "solve_stub", "f", "", reference, ()))
    assert place is not None
    missing = [line for line in ("y = x", "y += 1", "return y") if place.program(line) == reference]
    assert len(missing) == 1
    assert hole(Task("a", STUB, "solve_stub", "f", "", f"{STUB}y = x\n    return y\n", ())) is None


def test_infilling_puts_the_cursor_at_the_margin_of_the_missing_line(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": f"t/{n}",
            "entry_point": "f",
            "prompt": STUB.rstrip(" "),
            "canonical_solution": "    y = x\n",
            "suffix": "    return y\n",
            "test": "def check(candidate):\n    assert candidate(1) == 1\n",
        }
        for n in range(10)
    ]
    file = tmp_path / "infilling.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    places = load_places(file, "infilling", "body", 5)
    assert [place.task.id for place in places] == ["t/0", "t/2", "t/4", "t/6", "t/8"]
    assert places[0].before.endswith("\n")
    assert places[0].program("    y = x") == places[0].task.reference


def test_a_question_is_read_and_a_wrong_one_refused() -> None:
    assert question("fill") == Question(Form.FILL)
    assert question("chat,docstring,rest,indent") == Question(Form.CHAT, True, True, Ending.INDENT)
    for wrong in ("", "chat,code,indent", "fill,docs", "Chat"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a question"):
            question(wrong)
