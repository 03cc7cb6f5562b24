"""Chooses the answer of a task that would be served.

Consensus over all answers decides, as in the server.

Choosing by execution is the point of the project, so a report shows it beside what one sample gives. Probe inputs are
proposed from what the prompt shows: a stub with its examples, or a sentence with one assert. The benchmark's own
inputs are for judging only and are never used here.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from sandbox.consensus.election import Ballot, distinct, elect
from sandbox.inputs.target import find_target, parse_quietly
from sandbox.pool import Sandbox
from trainer.evaluation.task import Task
from ucoder_lsp.completion.probing import REQUEST_LIMITS, REQUEST_RULE, request_inputs
from ucoder_lsp.config import Settings

N_PROBES = Settings().probes
"""Probe inputs per answer: as many as the server proposes."""


def choose(
    task: Task, programs: Sequence[str | None], log_probabilities: Sequence[float], sandbox: Sandbox
) -> str | None:
    """Return the program that the server would show; None without any.

    `programs` are those of the answers, duplicates included: each is a vote. `log_probabilities` are the answers' mean
    log-probabilities. The server's election decides, its fallback included.
    """
    ballots = [
        Ballot(program, log_probability, progress=int(program is not None))
        for program, log_probability in zip(programs, log_probabilities, strict=True)
    ]
    inputs = request_inputs(stub_of(task, distinct(programs)), task.function, N_PROBES)
    election = elect(ballots, inputs, sandbox=sandbox, rule=REQUEST_RULE, limits=REQUEST_LIMITS)
    return None if election.chosen is None else programs[election.chosen]


def stub_of(task: Task, programs: Sequence[str]) -> str:
    """Return the task as a stub.

    It is the task's own, or one made of sentence and assert.

    A sentence gives no signature. The parameters are those of the first program with as many as the assert passes.
    """
    sentence, found, claim = task.statement.partition("\nassert ")
    if task.template == "solve_stub" or not found:
        return task.statement
    example = claim.partition("\n")[0]
    n_arguments = _arguments(example, task.function)
    named = [
        [parameter.name for parameter in target.parameters]
        for target in (find_target(program, task.function) for program in programs)
        if target is not None
    ]
    fitting = [names for names in named if len(names) == n_arguments]
    names = fitting[0] if fitting else [f"argument_{number}" for number in range(n_arguments)]
    docstring = repr(f"{sentence}\n\n>>> {example}\nTrue\n")  # it may hold quotes
    return f"def {task.function}({', '.join(names)}):\n    {docstring}\n"


def _arguments(expression: str, function: str) -> int:
    """Count positional arguments of the first call of `function`; 0 without one."""
    tree = parse_quietly(expression)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            return len(node.args)
    return 0
