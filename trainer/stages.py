"""Stages 2 to 5 of the loop: what is asked about one problem, and what is read from the answers.

    ratings     the model says how clear and how hard a problem is            (paper, section 2.3)
    skeletons   imports and typed stub, and stubs with a plan                 (paper, section 2.3)
    tests       asserts by the model, completed to probe inputs by `sandbox`  (paper, section 2.3)
    solutions   n samples that continue the skeletons                         (paper, section 2.4)

Departures from the paper: a rating is the mean over several samples, because one sample of a small model says
little; tests are inputs first (their asserted values are votes, right in about a third of the cases); prompts
are documents to be continued, not chats (see `problems`). What is not here: the sandbox, the store, the choice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.extract import extract_function, with_imports
from trainer.problems import SHOT_SETS, Exercise, Problem, shot_set
from trainer.profile import Profile
from trainer.sampler import Draw, Prompt, Sample, render
from trainer.store import digest

N_SHOTS = 3
PLAN = "    # Plan:"
_RATING = re.compile(r"\s*([1-5])\s*\n+\s*Difficulty:\s*([1-5])")


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt and how to sample it."""

    prompt: Prompt
    draw: Draw


@dataclass(frozen=True, slots=True)
class Rating:
    """What the model thinks of a problem, means over its answers in [1, 5]; 0 when no answer could be read."""

    quality: float
    difficulty: float


@dataclass(frozen=True, slots=True)
class Solution:
    """A sampled program."""

    source: str | None
    """None when the sample held no complete function."""
    mean_logprob: float


def shots_of(problem: Problem) -> int:
    """The number of the set of exercises that its prompts show: those of one set are best asked one after the other."""
    return int(digest(problem.function)[:8], 16) % SHOT_SETS


def ask_rating(problem: Problem, profile: Profile) -> Ask:
    """Stage 2."""
    lines = problem.stub.splitlines()
    signature = next(line for line in lines if line.startswith("def "))
    example = lines[next(i for i, line in enumerate(lines) if ">>>" in line) :][:2]
    outline = "\n".join([signature, *(line for line in example if '"""' not in line)])
    prompt = render("rating", problem=problem, outline=outline)
    return Ask(prompt, Draw(profile.ratings, 10, 1.0, _seed(prompt, profile), stop=("\n\n", "\n#")))


def read_rating(samples: Sequence[Sample]) -> Rating:
    """The mean over the answers that can be read."""
    read = [found for s in samples if (found := _RATING.match(s.text))]
    if not read:
        return Rating(0.0, 0.0)
    return Rating(fmean(int(m.group(1)) for m in read), fmean(int(m.group(2)) for m in read))


def ask_plans(problem: Problem, profile: Profile) -> Ask:
    """Stage 3: plans for all skeletons but the first, which has none."""
    prompt = _solution_prompt(problem, problem.stub + "\n" + PLAN, planned=True)
    draw = Draw(profile.skeletons - 1, 48, 0.7, _seed(prompt, profile), stop=("\n",))
    return Ask(prompt, draw)


def skeletons(problem: Problem, plans: Sequence[Sample]) -> list[str]:
    """The stub, and the stub with each plan; plans that say nothing are left out."""
    texts = dict.fromkeys(plan.text.strip() for plan in plans)
    return [problem.stub, *(f"{problem.stub}\n{PLAN} {text}" for text in texts if text)]


def ask_tests(problem: Problem, profile: Profile) -> Ask:
    """Stage 4."""
    prompt = render("tests", shots=_shots(problem), problem=problem)
    return Ask(prompt, Draw(profile.asserts, 72, 0.8, _seed(prompt, profile), stop=("```", "\n\n")))


def read_tests(problem: Problem, samples: Sequence[Sample]) -> list[str]:
    """Blocks of asserts; the prompt held the beginning of the first one."""
    example = [line.strip() for line in problem.stub.splitlines()]
    at = next((i for i, line in enumerate(example) if line.startswith(">>> ")), None)
    # The docstring's example is the model's own too: a vote like the others, not the word of an author.
    own = [] if at is None else [f"assert {example[at][4:]} == {example[at + 1]}"]
    return [*own, *(f"assert {problem.function}({sample.text}" for sample in samples)]


def without_example(problem: Problem) -> str:
    """The stub with its doctest prompt taken out, for whoever would take an example as the author's word."""
    return problem.stub.replace(">>> ", "")


def shared_out(skeletons: Sequence[str], n: int) -> list[tuple[str, int]]:
    """How many of n solutions continue each skeleton: evenly many, the remainder from the first on."""
    return [(skeleton, len(range(i, n, len(skeletons)))) for i, skeleton in enumerate(skeletons)]


def ask_solutions(problem: Problem, skeleton: str, n: int, profile: Profile) -> Ask:
    """Stage 5: n continuations of one skeleton."""
    prompt = _solution_prompt(problem, skeleton, planned=PLAN in skeleton)
    draw = Draw(n, profile.solution_tokens, profile.solution_temperature, _seed(prompt, profile))
    return Ask(prompt, draw)


def end_of_function(text: str) -> int | None:
    """Where a continuation of a function's body leaves the function, None before that."""
    position = 0
    for line in text.split("\n")[:-1]:
        if line and not line[0].isspace() and position > 0:
            return position - 1
        position += len(line) + 1
    return None


def read_solutions(problem: Problem, skeleton: str, samples: Sequence[Sample]) -> list[Solution]:
    """The programs: skeleton and continuation, cut to the function, with the imports that it needs."""
    programs = (
        extract_function(f"{skeleton}\n{sample.text.removeprefix(chr(10))}", problem.function)
        for sample in samples
    )
    return [
        Solution(
            with_imports(program) if program is not None and _has_body(program, problem.function) else None,
            s.mean_logprob,
        )
        for program, s in zip(programs, samples, strict=True)
    ]


def _has_body(source: str, function: str) -> bool:
    """A stub is a program too: it does nothing, and all of its kind agree."""
    tree = ast.parse(source)
    bodies = [n.body for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    return not bodies or any(not isinstance(node, ast.Expr | ast.Pass) for node in bodies[0])


def _solution_prompt(problem: Problem, skeleton: str, *, planned: bool) -> Prompt:
    return render("solution", shots=_shots(problem), problem=problem, skeleton=skeleton, planned=planned)


def _shots(problem: Problem) -> list[Exercise]:
    """The same for every stage of one problem."""
    return shot_set(shots_of(problem), N_SHOTS)


def _seed(prompt: Prompt, profile: Profile) -> int:
    return int(digest([prompt.text, profile.seed])[:8], 16)
