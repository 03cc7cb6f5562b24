"""Lines of MBPP+ as tasks."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.program import Call, Expression
from trainer.evaluation.mbpp import mbppplus_task
from trainer.evaluation.oracles import Oracle


def row(function: str, task_id: str = "Mbpp/1", **changes: Any) -> dict[str, Any]:
    return {
        "task_id": task_id, "entry_point": function, "prompt": f'"""\nDo it.\nassert {function}(1) == 2\n"""\n',
        "canonical_solution": f"def {function}(x):\n    return x + 1\n", "assertion": f"assert {function}(1) == 2",
        "base_input": [[1]], "plus_input": [[2], [3]], "atol": 0, **changes,
    }  # fmt: skip


def test_inputs_become_calls_and_those_of_mbpp_come_first() -> None:
    task = mbppplus_task(row("f"))
    assert task.statement == "Do it.\nassert f(1) == 2"
    assert task.probes == (Call("f", (1,)), Call("f", (2,)), Call("f", (3,)))
    assert (task.oracle, task.n_own, task.prelude) == (Oracle.EQUAL, 1, "")
    assert mbppplus_task(row("f", plus_input=[])).n_own is None


def test_a_task_whose_asserts_use_math_gets_its_import() -> None:
    task = mbppplus_task(row("f", "Mbpp/120"))
    assert task.prelude == "import math\n"
    assert task.reference.startswith("import math\ndef f")


@pytest.mark.parametrize(
    ("function", "conversion"), [("freq_count", "dict(r)"), ("check_str", "is not None")]
)
def test_results_that_are_not_plain_data_are_converted(function: str, conversion: str) -> None:
    probe = mbppplus_task(row(function)).probes[0]
    assert isinstance(probe, Expression)
    assert conversion in probe.source
    assert f"{function}(1)" in probe.source
