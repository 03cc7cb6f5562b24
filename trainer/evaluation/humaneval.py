"""Tasks of HumanEval.

The prompt is a stub. The benchmark's own test function judges in the sandbox.

Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code". The file is not part of this project.
"""

from __future__ import annotations

import ast
from typing import Any

from sandbox.inputs.target import parse_quietly
from sandbox.program import Check
from trainer.evaluation.task import Task


def humaneval_task(row: dict[str, Any]) -> Task:
    """Make a task from one line of HumanEval.jsonl.

    Raises:
        KeyError, TypeError, ValueError: the line is of another file.
    """
    function = row["entry_point"]
    return Task(
        id=row["task_id"],
        statement=row["prompt"].strip("\n"),
        template="solve_stub",
        function=function,
        prelude=_prelude(row["prompt"], function),
        reference=row["prompt"] + row["canonical_solution"],
        probes=(Check(f"{row['test']}\ncheck({function})\n"),),
    )


def _prelude(prompt: str, function: str) -> str:
    """Extract imports and helpers in front of the stub, which short answers omit."""
    tree = parse_quietly(prompt)
    if tree is None:
        raise ValueError(f"the prompt of {function} does not parse")
    kept = [node for node in tree.body if getattr(node, "name", None) != function]
    return "\n".join(ast.unparse(node) for node in kept)
