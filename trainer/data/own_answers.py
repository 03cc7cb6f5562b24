"""What the base's own answers do on the inputs of their problem: rejection sampling.

Consensus says what a problem's function does on each of its inputs, one of which the prompt shows. An answer that does
the same on all of them has been confirmed by a behaviour that it had no part in, and is learned (rejection sampling
fine-tuning: Yuan et al. 2023, arXiv 2308.01825; there different answers to one prompt are what helps most). One that
raises on the input shown teaches nothing that anybody wants: a third of the embedded model's answers do (docs/log.md).
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
from trainer.data.dataset import Example, OwnAnswers
from trainer.sampling.answers import extract_function
from trainer.stages.selection import normalised

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=3.0, cpu_s=3, memory_bytes=512 * MIB)


class Found(StrEnum):
    """What an answer did."""

    SAME = "do the same"
    OTHER = "do something else"
    FAILED = "raise or hang on the input shown"
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

    Those that do the same as consensus are learned. Where none does, the first that does something else is rehearsed:
    one answer says what the base would do there. What was not run is rehearsed too.
    """
    learned = [answer for found in by_prompt for answer, what in found if what is Found.SAME]
    rehearsed = [answer for found in by_prompt for answer, what in found if what is Found.NOT_RUN]
    for found in by_prompt:
        others = [answer for answer, what in found if what is Found.OTHER]
        if others and not any(what is Found.SAME for _, what in found):
            rehearsed.append(others[0])
    return OwnAnswers(tuple(learned), tuple(rehearsed))


def confirm(answer: Example, claims: Sequence[str], sandbox: Sandbox) -> Found:
    """Run an answer, as it would be served, on the inputs of `claims`, asserts of which its prompt shows the first."""
    source = extract_function(answer.completion, answer.function)
    if source is None:
        return Found.FAILED
    known = [claim for claim in map(_read, claims) if claim is not None]
    if not known:
        return Found.NOT_RUN
    outcomes = sandbox.run_one(Job(Program(source), tuple(call for call, _ in known), LIMITS)).outcomes
    if outcomes[0].status is not Status.OK:
        return Found.FAILED
    # Compared out here: the program never sees a value.
    same = all(
        outcome.status is Status.OK and outcome.value is not None and outcome.value.result == wanted
        for outcome, (_, wanted) in zip(outcomes, known, strict=True)
    )
    return Found.SAME if same else Found.OTHER


def _read(claim: str) -> tuple[Expression, Value] | None:
    """The call and the value of an assert; None where the value is no literal: a frozenset."""
    match ast.parse(claim).body:
        case [ast.Assert(ast.Compare(call, [ast.Eq()], [value]))]:
            try:
                return Expression(ast.unparse(call)), Value.of(ast.literal_eval(value))
            except ValueError:
                return None
    raise AssertionError(f"a claim is an assert of one value: {claim}")
