"""What the base's own answers do on the input that their prompt shows: rejection sampling.

A prompt shows one input and the value that consensus gives it. An answer that gives this value has been confirmed by a
behaviour that it had no part in, and is learned (rejection sampling fine-tuning: Yuan et al. 2023, arXiv 2308.01825;
there different answers to one prompt are what helps most). One that raises there teaches nothing that anybody wants: a
third of the embedded model's answers do (docs/log.md).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from enum import StrEnum

from sandbox.limits import MIB, Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Expression, Job, Program
from sandbox.values import Value
from trainer.dataset import Example, OwnAnswers
from trainer.extract import extract_function
from trainer.selection import normalised

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=3.0, cpu_s=3, memory_bytes=512 * MIB)


class Found(StrEnum):
    """What an answer gave for the input of its prompt."""

    SAME = "give the value shown"
    OTHER = "give another value"
    FAILED = "raise or hang"
    NOT_RUN = "not run"


Answered = tuple[Example, Found]
"""An answer, and what it gave."""


def different(answers: Sequence[Example | None]) -> list[Example]:
    """The answers to one prompt that hold a program, each program once, whatever its local names."""
    found: dict[str, Example] = {}
    for answer in answers:
        if answer is not None:
            source = extract_function(answer.completion, answer.function)
            found.setdefault(normalised(source or answer.completion), answer)
    return list(found.values())


def sort_out(by_prompt: Sequence[Sequence[Answered]]) -> OwnAnswers:
    """What becomes of the answers to each prompt.

    Those that give its value are learned. Where none does, the first that gives another is rehearsed: one answer says
    what the base would do there. What was not run is rehearsed too.
    """
    learned = [answer for found in by_prompt for answer, what in found if what is Found.SAME]
    rehearsed = [answer for found in by_prompt for answer, what in found if what is Found.NOT_RUN]
    for found in by_prompt:
        others = [answer for answer, what in found if what is Found.OTHER]
        if others and not any(what is Found.SAME for _, what in found):
            rehearsed.append(others[0])
    return OwnAnswers(tuple(learned), tuple(rehearsed))


def confirm(answer: Example, claim: str, sandbox: Sandbox) -> Found:
    """Run an answer, as it would be served, on the input of `claim`, the assert of its prompt."""
    comparison = ast.parse(claim).body[0]
    assert isinstance(comparison, ast.Assert)
    assert isinstance(comparison.test, ast.Compare)
    source = extract_function(answer.completion, answer.function)
    if source is None:
        return Found.FAILED
    try:
        wanted = Value.of(ast.literal_eval(comparison.test.comparators[0]))
    except ValueError:
        return Found.NOT_RUN  # no literal: a frozenset
    call = Expression(ast.unparse(comparison.test.left))
    (outcome,) = sandbox.run_one(Job(Program(source), (call,), LIMITS)).outcomes
    if outcome.status is not Status.OK or outcome.value is None:
        return Found.FAILED
    # Compared out here: the program never sees the value.
    return Found.SAME if outcome.value.result == wanted else Found.OTHER
