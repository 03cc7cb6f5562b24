"""The base's own answers to the served prompts, sorted by their behaviour.

This is rejection sampling.

The prompt shows one probe input of its problem. An answer that behaves as consensus does on all of them is confirmed by
a behaviour that it had no part in, and is learned. (Rejection sampling fine-tuning: Yuan et al. 2023, arXiv 2308.01825;
there different answers to one prompt help most.) An answer that raises on the shown input is dropped, as a third of the
embedded model's do (docs/decisions.md, "Own answers that raise are dropped").
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from sandbox.limits import MIB, Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Expression, Job, Program
from sandbox.values import Value
from trainer.data.dataset import OwnAnswers, TrainingExample, own_answer
from trainer.run.store import Stage
from trainer.sampling.answers import end_of_answer, extract_function
from trainer.sampling.sampler import Draw, Prompt
from trainer.stages.context import SampleRequest, StageContext
from trainer.stages.selection import Examined, examine, normalised
from trainer.stages.served_prompts import MAX_TOKENS, served_prompts
from trainer.stages.solutions import Candidates

STAGE = Stage("own answers")
RUNS = Stage("own answers, run", version=2)
LIMITS = Limits(probe_wall_s=2.0, job_wall_s=3.0, cpu_s=3, memory_bytes=512 * MIB)


class Found(StrEnum):
    """The behaviour of an answer, compared with consensus."""

    SAME = "do the same"
    OTHER = "do something else"
    FAILED = "raise or hang on the input shown"
    NOT_RUN = "not run"


Answered = tuple[TrainingExample, Found]
"""An answer and its behaviour."""


def run(context: StageContext, problems: Sequence[Candidates], *, selected: bool) -> OwnAnswers:
    """Sample the base's answers to the served prompts, and sort them by behaviour.

    Problems without a value to show are left out (`shown_value`). For the control arm, where `selected` is false,
    nothing is run, and all answers are rehearsed.
    """

    def answers(candidates: Candidates) -> list[list[Answered]]:
        examined = examine(context, candidates)
        value = shown_value(examined, selected=selected)
        if value is None:
            return []
        found = []
        for prompt in served_prompts(candidates.problem, value, context.sampler.chat):
            written = _sample(context, candidates.problem.function, prompt)
            claims = examined.claims if selected else None
            found.append([(answer, _behaviour(context, answer, claims)) for answer in different(written)])
        return found

    by_prompt = [prompt for found in context.each(STAGE.name, problems, answers) for prompt in found]
    counts = Counter(str(what) for prompt in by_prompt for _, what in prompt)
    n_sampled = context.profile.own_answers * len(by_prompt)
    counts["hold no program, or repeat another"] = n_sampled - counts.total()
    context.funnel.replace(STAGE.name, counts)
    return sort_out(by_prompt)


def shown_value(examined: Examined, *, selected: bool) -> str | None:
    """Choose the assert that the served prompts of a problem show.

    It is the winner's most telling one.

    The control arm must learn nothing from the selection. There it is that of the first sample that has one.
    """
    if selected:
        return next(iter(examined.claims), None)
    return next((own[0] for own in examined.own_asserts if own), None)


def _sample(context: StageContext, function: str, prompt: str) -> list[TrainingExample | None]:
    """Sample the base's answers to one prompt, None without a whole program."""
    profile = context.profile
    draw = Draw(profile.own_answers, MAX_TOKENS, profile.solution_temperature, profile.seed)
    samples = context.sample(STAGE, SampleRequest(Prompt(prompt), draw, end_of_answer(function)))
    return [own_answer(function, prompt, sample) for sample in samples]


def _behaviour(context: StageContext, answer: TrainingExample, claims: Sequence[str] | None) -> Found:
    """Run an answer, or read its behaviour from its shard.

    Without `claims` it is not run.
    """
    if claims is None:
        return Found.NOT_RUN
    return context.store.get_or_make(
        RUNS, [answer, claims], lambda: confirm(answer, claims, context.sandbox), Found
    )


def different(answers: Sequence[TrainingExample | None]) -> list[TrainingExample]:
    """Return the answers with a program, each program once, whatever its local names."""
    found: dict[str, TrainingExample] = {}
    for answer in answers:
        if answer is not None:
            source = extract_function(answer.completion, answer.function)
            found.setdefault(normalised(source or answer.completion), answer)
    return list(found.values())


def sort_out(by_prompt: Sequence[Sequence[Answered]]) -> OwnAnswers:
    """Decide which answers to each prompt are learned, rehearsed or dropped.

    Those that behave as consensus does are learned. Where none does, the first with another behaviour is rehearsed: one
    answer shows what the base would do there. Answers that were not run are rehearsed too.
    """
    learned = [answer for found in by_prompt for answer, what in found if what is Found.SAME]
    rehearsed = [answer for found in by_prompt for answer, what in found if what is Found.NOT_RUN]
    for found in by_prompt:
        others = [answer for answer, what in found if what is Found.OTHER]
        if others and not any(what is Found.SAME for _, what in found):
            rehearsed.append(others[0])
    return OwnAnswers(tuple(learned), tuple(rehearsed))


def confirm(answer: TrainingExample, claims: Sequence[str], sandbox: Sandbox) -> Found:
    """Run an answer, as it would be served, on the inputs of `claims`: asserts, of which its prompt shows the first."""
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
    """Read the call and the value of an assert.

    Returns None where the value is not a literal, such as a frozenset.
    """
    match ast.parse(claim).body:
        case [ast.Assert(ast.Compare(call, [ast.Eq()], [value]))]:
            try:
                return Expression(ast.unparse(call)), Value.of(ast.literal_eval(value))
            except ValueError:
                return None
    raise AssertionError(f"a claim is an assert of one value: {claim}")
