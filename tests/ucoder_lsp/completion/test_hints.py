"""Hints with names that may be missing become text; the others stay."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from tests.support.cursor import at
from ucoder_lsp.completion.document_slice import prepare
from ucoder_lsp.completion.hints import with_safe_hints


@pytest.fixture(scope="module")
def tier_1() -> Iterator[Sandbox]:
    with Sandbox(1, lowest_tier=1) as box:
        yield box


def safe(source: str) -> str:
    return ast.unparse(with_safe_hints(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f(x: List[int]): pass", "def f(x: 'List[int]'):"),
        ("def f(*x: Missing, y: int=1, **z: Missing) -> Missing: pass",
         "def f(*x: 'Missing', y: int=1, **z: 'Missing') -> 'Missing':"),
        ("async def f(x: Missing): pass", "async def f(x: 'Missing'):"),
        ("import pandas as pd\ndef f(x: pd.DataFrame): pass", "def f(x: 'pd.DataFrame'):"),
        ("from .own import Own\ndef f(x: Own): pass", "def f(x: 'Own'):"),
        ("import numpy as np\nArray = np.ndarray\ndef f(x: Array): pass", "def f(x: 'Array'):"),
        ("import torch\nclass M(torch.Module): pass\ndef f(x: M): pass", "def f(x: 'M'):"),
        ("class C:\n    x: Missing\n    def g(self, y: Missing): pass", "    x: 'Missing'"),
        # These can be evaluated, and something may read them.
        ("from typing import List\ndef f(x: List[int]) -> 'text': pass", "def f(x: List[int]) -> 'text':"),
        ("import typing as t\ndef f(x: t.Any | None): pass", "def f(x: t.Any | None):"),
        ("import collections.abc\ndef f(x: collections.abc.Sized): pass", "def f(x: collections.abc.Sized):"),
        ("class A: pass\ndef f(x: A, y: dict[str, A]): pass", "def f(x: A, y: dict[str, A]):"),
        ("from typing import TypeVar\nT = TypeVar('T')\ndef f(x: T): pass", "def f(x: T):"),
        ("try:\n    from typing import List\nexcept ImportError:\n    pass\ndef f(x: List): pass", "def f(x: List):"),
    ],
)  # fmt: skip
def test_only_hints_that_may_fail_become_text(source: str, line: str) -> None:
    assert line in safe(source).splitlines()


@pytest.mark.parametrize(
    "document",
    [
        "def f(xs: List[int]) -> int:\n    |\n",
        "import no_such_module as n\ndef f(xs: n.Table) -> n.Table:\n    |\n",
        "def g(a: Optional[int]): return a\n\ndef f(xs):\n    |\n",
        "from __future__ import annotations\ndef f(xs: List[int]) -> int:\n    |\n",
        "from no_such_module import Base\nclass Row:\n    base: Base\ndef f(xs: Row):\n    |\n",
    ],
)
def test_a_document_that_lacks_an_import_still_runs(document: str, tier_1: Sandbox) -> None:
    program = prepare("return len(xs)", at(document)).source
    outcome = tier_1.run_one(Job(Program(program), (Call("f", ([1],)),))).outcomes[0]
    assert (outcome.status, outcome.value and outcome.value.python()) == (Status.OK, 1)


def test_a_data_class_keeps_the_types_of_its_fields(tier_1: Sandbox) -> None:
    document = (
        "from dataclasses import dataclass, fields\n@dataclass\nclass P:\n    x: int\n    y: Missing\n"
        "def f():\n    |\n"
    )
    program = prepare("return [field.type is int for field in fields(P)]", at(document)).source
    assert tier_1.run_one(Job(Program(program), (Call("f"),))).outcomes[0].value.python() == [True, False]  # type: ignore[union-attr]
