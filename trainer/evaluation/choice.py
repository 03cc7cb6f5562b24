"""Which of a task's answers would be served: consensus over all of them, as the server chooses at request time.

To choose by running is what the whole project is for, so what it gives belongs beside what one sample gives. Inputs
are proposed from what the task tells whoever answers it: a stub with its examples, or a sentence with one assert. The
benchmark's own inputs are for judging only and never come here.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from sandbox.consensus.election import Ballot, distinct, elect
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.inputs.target import find_target, parse_quietly
from sandbox.pool import Sandbox
from trainer.evaluation.task import Task
from ucoder_lsp.completion.probing import REQUEST_LIMITS, request_inputs
from ucoder_lsp.config import Settings

N_PROBES = Settings().probes
"""Inputs that each answer runs on: as many as the server asks for."""


def choose(
    task: Task, programs: Sequence[str | None], log_probabilities: Sequence[float], sandbox: Sandbox
) -> str | None:
    """The program that the server would show; None where no answer holds one.

    `programs` are those of the answers, equal ones repeated: each is a vote. `log_probabilities` are the answers' mean
    log-probabilities. The server's election decides, its fallback included.
    """
    ballots = [
        Ballot(program, log_probability, progress=int(program is not None))
        for program, log_probability in zip(programs, log_probabilities, strict=True)
    ]
    inputs = request_inputs(stub_of(task, distinct(programs)), task.function, N_PROBES)
    election = elect(ballots, inputs, sandbox=sandbox, rule=RULES[DEFAULT_RULE], limits=REQUEST_LIMITS)
    return None if election.chosen is None else programs[election.chosen]


def stub_of(task: Task, programs: Sequence[str]) -> str:
    """The task as a stub whose docstring holds the example: that of the task, or one made of sentence and assert.

    A sentence gives no signature: the parameters are those of the first program that takes as many arguments as the
    assert gives.
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
    """How many positional arguments the first call of `function` in an expression has; 0 where there is none."""
    tree = parse_quietly(expression)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            return len(node.args)
    return 0
