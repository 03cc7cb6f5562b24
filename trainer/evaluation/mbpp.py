"""Tasks of MBPP+.

The prompt is a sentence with one assert. The values of the reference solution judge.

The file holds inputs only. The reference solution runs on them in the sandbox, and its values are compared with the
candidate's outside it. So a candidate never sees an expected value. The file is not part of this project.

Sources: Austin et al. 2021 (MBPP) and Liu et al. 2023 (EvalPlus, which added inputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.program import Call, Expression, Probe
from trainer.evaluation.mbpp_inputs import typed_inputs
from trainer.evaluation.oracles import Oracle, oracle_of
from trainer.evaluation.task import Task

NEEDS_MATH = {"Mbpp/120", "Mbpp/442", "Mbpp/574"}
"""Tasks whose asserts use math.isclose while the reference solution does not import math."""
RETURNS_COUNTER = {"freq_count"}
"""Functions that return a Counter, which the sandbox does not treat as plain data. A dict of the same items is."""


def mbppplus_task(row: dict[str, Any]) -> Task:
    """Make a task from one line of MbppPlus.jsonl.

    Raises:
        KeyError, TypeError, ValueError: the line is of another file.
    """
    function = row["entry_point"]
    prelude = "import math\n" if row["task_id"] in NEEDS_MATH else ""
    oracle = oracle_of(row["task_id"], function, row["prompt"], float(row["atol"]))
    inputs = typed_inputs(function, row["assertion"], row["base_input"], row["plus_input"])
    return Task(
        id=row["task_id"],
        statement=row["prompt"].strip().strip('"').strip(),
        template="solve_sentence",
        function=function,
        prelude=prelude,
        reference=prelude + row["canonical_solution"],
        probes=tuple(_probe(function, arguments, oracle) for arguments in inputs),
        oracle=oracle,
        n_own=len(row["base_input"]) if row["plus_input"] else None,
    )


def _probe(function: str, arguments: Sequence[object], oracle: Oracle) -> Probe:
    shown = ", ".join(map(repr, arguments))
    if function in RETURNS_COUNTER:
        return Expression(f"(lambda r: dict(r) if isinstance(r, dict) else r)({function}({shown}))")
    if oracle is Oracle.NOT_NONE:
        # These return a match object or None where the reference returns True or False.
        return Expression(f"(lambda r: r if isinstance(r, bool) else r is not None)({function}({shown}))")
    return Call(function, tuple(arguments))
