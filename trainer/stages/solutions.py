"""Stages 2 to 5 of the loop: what is asked about one problem, and what is read from the answers.

    ratings     the model says how clear and how hard a problem is            (paper, section 2.3)
    skeletons   imports and typed stub, and stubs with a plan                 (paper, section 2.3)
    tests       asserts by the model, completed to probe inputs by `sandbox`  (paper, section 2.3)
    solutions   n samples that complete the skeletons                         (paper, section 2.4)

Departures from the paper: a rating is the mean over several samples, because one sample of a small model says
little; tests are inputs first (their asserted values are votes, right in about a third of the cases). Solutions are
asked for in the chat, as people ask: there a small model knows most. The other prompts are documents to be continued,
where it keeps to a form. What is not here: the sandbox, the store, the choice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.profile import Profile
from trainer.run.store import digest
from trainer.sampling.answers import extract_function, with_imports
from trainer.sampling.sampler import Chat, Draw, Prompt, Sample, render
from trainer.stages.problems import SHOT_SETS, Exercise, Problem, shot_set

N_SHOTS = 3
PLAN = "    # Plan:"
CLOSING = '"""'
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


def shots_of(name: str) -> int:
    """The number of the set of exercises that the prompts for a task or function show: those of one set are best asked
    one after the other."""
    return int(digest(name)[:8], 16) % SHOT_SETS


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
    prompt = render("plan", shots=_shots(problem), problem=problem, plan=PLAN)
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


def shared_out(skeletons: Sequence[str], n: int) -> list[tuple[str, int]]:
    """How many of n solutions continue each skeleton: evenly many, the remainder from the first on."""
    return [(skeleton, len(range(i, n, len(skeletons)))) for i, skeleton in enumerate(skeletons)]


def ask_solutions(skeleton: str, n: int, profile: Profile, chat: Chat) -> Ask:
    """Stage 5: n completions of one skeleton, asked for in the chat.

    Without the example, whose value is a guess of the model's, mostly a wrong one.
    """
    prompt = Prompt(chat(render("solve_stub", statement=bare(skeleton)).text))
    return Ask(prompt, Draw(n, profile.solution_tokens, profile.solution_temperature, _seed(prompt, profile)))


def bare(skeleton: str) -> str:
    """A skeleton without the examples of its docstring, for whoever would take them as an author's word.

    They come last in it (`problems.parse_problem`).
    """
    head, _, rest = skeleton.partition("    >>> ")
    return f'{head.rstrip()}\n    """{rest.partition(CLOSING)[2]}'


def read_solutions(problem: Problem, samples: Sequence[Sample]) -> list[Solution]:
    """The programs: the first function of each answer, with the imports that it needs."""
    programs = (extract_function(sample.text, problem.function) for sample in samples)
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


def _shots(problem: Problem) -> list[Exercise]:
    """The same for every stage of one problem."""
    return shot_set(shots_of(problem.function), N_SHOTS)


def _seed(prompt: Prompt, profile: Profile) -> int:
    return int(digest([prompt.text, profile.seed])[:8], 16)
