"""A document whose imports are missing here, or not written yet, still runs its candidates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from tests.support.cursor import at
from ucoder_lsp.completion.document_slice import prepare


@pytest.fixture(scope="module")
def tier_1() -> Iterator[Sandbox]:
    with Sandbox(1, lowest_tier=1) as box:
        yield box


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
