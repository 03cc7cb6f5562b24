"""Stage `solutions`.

It samples n programs for each problem, which complete its skeletons (paper, section 2.4).

A departure from the paper: solutions are answers in the chat, where a small model has learned most. The prompts of the
earlier stages are documents to continue, because a small model keeps to their form.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.sampling.answers import end_of_answer, extract_function, with_imports
from trainer.sampling.sampler import Chat, Draw, Prompt, Sample, Sampler, render
from trainer.stages.context import SampleRequest, StageContext, seed_of
from trainer.stages.problems import Problem
from trainer.stages.served_prompts import MAX_TOKENS, served_prompts, without_examples

STAGE = Stage("solutions")


@dataclass(frozen=True, slots=True)
class Solution:
    """A sampled program."""

    source: str | None
    """None when the sample held no complete function."""
    mean_logprob: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """A problem with its blocks of asserts and its candidate programs so far."""

    problem: Problem
    tests: tuple[str, ...]
    solutions: tuple[Solution, ...] = ()


def run(
    context: StageContext,
    problems: Sequence[Candidates],
    skeletons: Sequence[Sequence[str]],
    alike: Callable[[Candidates], int],
) -> list[Candidates]:
    """Sample solutions, spread evenly over the skeletons of each problem.

    The bare stubs of all problems come first. A problem is given up when no two of its first samples behave alike, as
    counted by `alike`: one in ten of those would still reach a consensus, mostly a wrong one (docs/decisions.md, "A
    problem is given up after its first samples").
    """
    shares = [shared_out(texts, context.profile.solutions) for texts in skeletons]

    def begin(item: tuple[Candidates, list[tuple[str, int]]]) -> Candidates:
        candidates, shared = item
        return _solve(context, candidates, shared[:1])

    def go_on(item: tuple[Candidates, list[tuple[str, int]]]) -> Candidates:
        candidates, shared = item
        return _solve(context, candidates, shared[1:]) if alike(candidates) > 1 else candidates

    solved = context.each(STAGE.name, list(zip(problems, shares, strict=True)), begin)
    if context.profile.skeletons > 1:
        solved = context.each(f"{STAGE.name}, planned", list(zip(solved, shares, strict=True)), go_on)
    _count(context, solved, STAGE.name)
    return solved


def run_again(
    context: StageContext,
    problems: Sequence[Candidates],
    claims: Sequence[str | None],
    adapted: Sampler,
    number: int,
) -> list[Candidates]:
    """Add the last adapter's answers to the candidates, in round `number` (2 or later).

    The prompts are the served ones, which show an assert, one of `claims` for each problem. A problem without one gets
    no further candidates.
    """
    title = f"{STAGE.name}, round {number}"

    def answer(item: tuple[Candidates, str | None]) -> Candidates:
        candidates, claim = item
        if claim is None:
            return candidates
        answers = [
            sample
            for request in adapter_requests(candidates.problem, claim, number, context.profile, adapted.chat)
            for sample in context.sample(STAGE, request, adapted)
        ]
        function = candidates.problem.function
        added = (Solution(extract_function(a.text, function), a.mean_logprob) for a in answers)
        return replace(candidates, solutions=(*candidates.solutions, *added))

    answered = context.each(title, list(zip(problems, claims, strict=True)), answer)
    _count(context, answered, title)
    return answered


def _solve(context: StageContext, candidates: Candidates, shared: Sequence[tuple[str, int]]) -> Candidates:
    """Add solutions that complete each skeleton, as many as its share."""
    found = list(candidates.solutions)
    for skeleton, n in shared:
        requested = request(candidates.problem, skeleton, n, context.profile, context.sampler.chat)
        found += read(candidates.problem, context.sample(STAGE, requested))
    return replace(candidates, solutions=tuple(found))


def _count(context: StageContext, problems: Sequence[Candidates], title: str) -> None:
    for candidates in problems:
        for solution in candidates.solutions:
            what = "programs" if solution.source else "samples without a complete function"
            context.funnel.count(title, what, candidates.problem.title, solution.source or "")


def shared_out(skeletons: Sequence[str], n: int) -> list[tuple[str, int]]:
    """Spread n solutions over the skeletons.

    The first ones get the remainder.
    """
    return [(skeleton, len(range(i, n, len(skeletons)))) for i, skeleton in enumerate(skeletons)]


def request(problem: Problem, skeleton: str, n: int, profile: Profile, chat: Chat) -> SampleRequest:
    """Request n completions of one skeleton in the chat.

    Its example is left out, because the model's value is mostly wrong.
    """
    prompt = Prompt(chat(render("solve_stub", statement=without_examples(skeleton)).text))
    draw = Draw(n, profile.solution_tokens, profile.solution_temperature, seed_of(prompt, profile.seed))
    return SampleRequest(prompt, draw, end_of_answer(problem.function))


def adapter_requests(
    problem: Problem, claim: str, number: int, profile: Profile, chat: Chat
) -> list[SampleRequest]:
    """Request answers to both served prompts, half of the profile's solutions each."""
    draw = Draw(-(-profile.solutions // 2), MAX_TOKENS, profile.solution_temperature, profile.seed + number)
    end = end_of_answer(problem.function)
    return [SampleRequest(Prompt(prompt), draw, end) for prompt in served_prompts(problem, claim, chat)]


def read(problem: Problem, samples: Sequence[Sample]) -> list[Solution]:
    """Return the programs.

    Each is the first function of an answer, with the imports that it needs.
    """
    programs = (extract_function(sample.text, problem.function) for sample in samples)
    return [
        Solution(
            with_imports(program) if program is not None and _has_body(program, problem.function) else None,
            sample.mean_logprob,
        )
        for program, sample in zip(programs, samples, strict=True)
    ]


def _has_body(source: str, function: str) -> bool:
    """Whether the function is more than a stub: stubs would all agree."""
    tree = ast.parse(source)
    bodies = [n.body for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    return not bodies or any(not isinstance(node, ast.Expr | ast.Pass) for node in bodies[0])
