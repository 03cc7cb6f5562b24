"""Stage `problems`.

The model states each task as an exercise (paper, section 2.2).

It continues a document of the hand-written exercises: hint, typed signature, docstring, example.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.inputs.doctests import from_docstring
from sandbox.inputs.target import parse_quietly
from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.sampling.answers import END_OF_BLOCK
from trainer.sampling.sampler import Draw, Prompt, render
from trainer.stages.context import SampleRequest, StageContext
from trainer.stages.decontamination import EXCLUDED, overlaps
from trainer.stages.exercises import FENCE, exercises, shot_set, shot_set_of
from trainer.stages.funnel import Rejected

STAGE = Stage("problems")
MAX_TOKENS = 160
N_SHOTS = 4
MAX_STUB_CHARS = 1_200
MAX_HINT_CHARS = 160


@dataclass(frozen=True, slots=True)
class Problem:
    """A self-made problem."""

    task: str
    """One or two sentences: what the function does."""
    hint: str
    function: str
    stub: str
    """Imports, typed signature and docstring with an example: a program without its body."""

    @property
    def title(self) -> str:
        """The function's name in words, as reports and prompts show it."""
        return self.function.strip("_").replace("_", " ").capitalize()


def run(context: StageContext, tasks: Sequence[str]) -> list[Problem]:
    """State each task as a problem.

    Tasks that fail, repeat an exercise or overlap an excluded file are dropped.
    """

    def attempt(task: str, number: int) -> Problem | Rejected:
        (sample,) = context.sample(STAGE, request(task, number, context.profile))
        return read(task, sample.text)

    def state(task: str) -> Problem | Rejected:
        stated = attempt(task, 0)
        return stated if isinstance(stated, Problem) else attempt(task, 1)  # one in three loses its form

    found: list[Problem] = []
    for task, stated in zip(tasks, context.each(STAGE.name, tasks, state, unit="tasks"), strict=True):
        if isinstance(stated, Rejected):
            context.funnel.count(STAGE.name, stated.reason, "", task)
        else:
            found.append(stated)
    return _usable(found, context)


def _usable(found: Sequence[Problem], context: StageContext) -> list[Problem]:
    """The problems that neither repeat an exercise nor overlap an excluded file."""
    different, repeated = new_to([exercise.function for exercise in exercises()], found)
    for problem in repeated:
        context.funnel.count(STAGE.name, "repeats an exercise", problem.title, problem.stub)
    kept = []
    for problem in different:
        excluded = overlaps(problem.stub, context.excluded)
        text = f"{problem.task}\n\n{problem.stub}"
        context.funnel.count(STAGE.name, EXCLUDED if excluded else "kept", problem.title, text)
        if not excluded:
            kept.append(problem)
    return kept


def request(task: str, attempt: int, profile: Profile) -> SampleRequest:
    """Request a statement of the task."""
    draw = Draw(1, MAX_TOKENS, profile.problem_temperature, profile.seed + attempt)
    return SampleRequest(prompt(task, shot_set_of(task)), draw, END_OF_BLOCK)


def prompt(task: str, shots: int) -> Prompt:
    """Make a document of exercises that opens another one for `task`.

    `shots` is the number of the shown set.
    """
    return render("problem", shots=shot_set(shots, N_SHOTS), task=task)


def read(task: str, text: str) -> Problem | Rejected:
    """Read a continuation of `prompt` as a problem. Never raises on any text."""
    fence = FENCE.search(text)
    hint = text[: fence.start()].strip().partition("\n")[0] if fence is not None else ""
    if fence is None or not hint or len(hint) > MAX_HINT_CHARS:
        return Rejected("is not laid out as an exercise")
    if len(fence.group(1)) > MAX_STUB_CHARS:
        return Rejected("is too long")
    tree = parse_quietly(fence.group(1))
    if tree is None:
        return Rejected("its code does not parse")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = [n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.Import | ast.ImportFrom)]
    if len(functions) != 1 or others:
        return Rejected("does not state exactly one function")
    function = functions[0]
    docstring = ast.get_docstring(function)
    if not docstring:
        return Rejected("has no docstring")
    if not _is_typed(function):
        return Rejected("its signature is not fully typed")
    if not from_docstring(docstring, function.name):
        return Rejected("has no example that can be read")
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = fence.group(1).splitlines()
    stub = "\n".join([*imports, *lines[function.lineno - 1 : function.body[0].end_lineno]])
    if not _example_comes_last(stub):
        return Rejected("its docstring is not laid out with the example last")
    return Problem(task, hint, function.name, stub)


def new_to(known: Sequence[str], problems: Iterable[Problem]) -> tuple[list[Problem], list[Problem]]:
    """Separate the problems from those whose functions are named as a `known` exercise.

    Problems may share a name: their tasks differ (`tasks.distinct`). The same answer to two of them is found by the
    selection.
    """
    kept: list[Problem] = []
    repeated: list[Problem] = []
    for problem in problems:
        (repeated if problem.function in known else kept).append(problem)
    return kept, repeated


def _example_comes_last(stub: str) -> bool:
    """Return True if the docstring ends like those of the exercises.

    From the first example on, it holds only examples.

    Served prompts put another example there and close the docstring (`served_prompts.with_example`).
    """
    head, _, tail = stub.partition("\n    >>> ")
    closed = parse_quietly(f'{head}\n    """\n    pass')
    paragraphs = re.split(r"\n\s*\n", tail.removesuffix('"""'))[1:]
    only_examples = all(not text.strip() or text.lstrip().startswith(">>> ") for text in paragraphs)
    return closed is not None and ">>>" not in head and tail.endswith('"""') and only_examples


def _is_typed(function: ast.FunctionDef) -> bool:
    arguments = function.args
    if arguments.vararg or arguments.kwarg or not (arguments.args or arguments.posonlyargs):
        return False
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return function.returns is not None and all(a.annotation for a in every)
