"""Stage 1, problem space probing: the model says what people ask it and states it as exercises (paper, section 2.2).

A model that was taught to chat has learned what people ask as well as what is answered: where its chat template opens
the user's turn and that turn has begun with "Write a function to", it goes on with a task that it has seen the like of
(Magpie, Xu et al. 2024). Each such task is then stated by continuing a document of the exercises of
`prompts/exercises.md`: hint, typed signature, docstring, example. A base without a chat template continues a list of
tasks instead. Whether a problem makes sense is for the later stages to find out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from sandbox.inputs.doctests import from_docstring
from sandbox.inputs.target import parse_quietly
from trainer.sampling.sampler import PROMPTS, Prompt, Sample, render

_TO = (
    "find", "check if", "calculate", "count", "convert", "remove", "sort", "check whether", "return", "merge", "split",
    "replace", "get", "reverse", "compute", "extract", "filter", "sum", "multiply", "swap", "find the first",
    "find the last", "find the largest", "find the smallest", "find the number of", "find the sum of", "find all",
    "determine", "generate", "add", "insert", "group", "rotate", "flatten", "combine", "compare",
)  # fmt: skip
_TAKES = (
    "a list of", "a string", "a list of tuples", "two lists", "a number", "a dictionary", "a tuple", "two numbers",
    "two strings", "a list of lists", "an integer", "a list of strings", "a list of numbers", "a set",
    "a positive integer n", "a sentence", "a word", "a matrix",
)  # fmt: skip
OPENINGS = tuple(
    opening
    for i, verb in enumerate(_TO)
    for opening in (
        f"Write a function to {verb}",
        *([f"Write a Python function that takes {_TAKES[i // 2]}"] if i % 2 else []),
    )
)
"""How people begin to ask: steers the samples apart."""

FENCE = re.compile(r"^```python\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
N_SHOTS = 4
SHOT_SETS = 16
"""Different choices of exercises that prompts show: prompts with the same one share most of their computing."""
MAX_STUB_CHARS = 1_200
MAX_TASK_CHARS = 160
UNSUITED = re.compile(
    r"java|c\+\+|c#|php|sql|html|css|pandas|numpy|data ?frame|json|xml|csv|\bfiles?\b|\burl|\bapi\b|random|database|"
    r"\bprint|image|\buser|website|datetime|current|\bclass\b|\bobject",
    re.IGNORECASE,
)
"""Tasks for another language, for a library, or about more than plain values in and a plain value out: nothing that
programs could be compared on."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A hand-written exercise: what the prompts of the stages show as an example."""

    title: str
    task: str
    hint: str
    code: str
    """The complete function."""
    asserts: str

    @property
    def function(self) -> str:
        """Its name."""
        return self.code.split("(")[0].removeprefix("def ")

    @property
    def stub(self) -> str:
        """Signature and docstring."""
        return self.code[: self.code.index('"""\n', self.code.index('"""') + 3) + 3]

    @property
    def plan(self) -> str:
        """The comment that says how, indented like the body."""
        return next(line for line in self.code.splitlines() if line.lstrip().startswith("# Plan:"))

    @property
    def body(self) -> str:
        """What follows the docstring, without the plan."""
        rest = self.code[len(self.stub) :].strip("\n").splitlines()
        return "\n".join(line for line in rest if line != self.plan)


@dataclass(frozen=True, slots=True)
class Problem:
    """A self-made problem."""

    task: str
    """One or two sentences: what the function does."""
    hint: str
    function: str
    stub: str
    """Imports, typed signature and docstring with an example: a program but for the body."""

    @property
    def title(self) -> str:
        """Its function's name in words: what reports and prompts call it."""
        return self.function.strip("_").replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that is no task or no problem, and why."""

    reason: str


@lru_cache(maxsize=1)
def exercises() -> tuple[Exercise, ...]:
    """The hand-written exercises."""
    found = []
    for section in (PROMPTS / "exercises.md").read_text("utf-8").split("## ")[1:]:
        heading, text = section.split("\n", 1)
        code, asserts = FENCE.findall(text)
        found.append(
            Exercise(heading, _field(text, "Task"), _field(text, "Hint"), code.rstrip(), asserts.strip())
        )
    return tuple(found)


def task_prompt(opening: str, turn: str | None, shots: int) -> Prompt:
    """Asks for tasks that begin with `opening`: the user's `turn` (`Sampler.user_turn`), or a list for want of one."""
    return (
        Prompt(turn) if turn is not None else render("task", shots=shot_set(shots, N_SHOTS), opening=opening)
    )


def read_task(opening: str, sample: Sample) -> str | Rejected:
    """The task that a continuation of `opening` asks for, as one sentence. Never raises on any text."""
    said = " ".join(sample.text.split()).strip(" .:,;")
    task = re.sub(r",? (in|using) python( code)?$", "", f"{opening} {said}".strip(), flags=re.IGNORECASE)
    if not sample.finished or len(task) > MAX_TASK_CHARS:
        return Rejected("does not come to an end")
    if len(task) <= len(opening):
        return Rejected("says nothing")
    if any(task.count(mark) % 2 for mark in '`"') or task.count("(") != task.count(")"):
        return Rejected("breaks off")
    if UNSUITED.search(task):
        return Rejected("asks for more than values from values")
    return task.replace("Write a Python function", "Write a function", 1) + "."


def distinct_tasks(tasks: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tasks that are no other's words in another order, in order, and those that repeat one."""
    known: set[frozenset[str]] = set()
    kept: list[str] = []
    repeated: list[str] = []
    for task in tasks:
        words = frozenset(_words(task))
        (repeated if words in known else kept).append(task)
        known.add(words)
    return kept, repeated


def problem_prompt(task: str, shots: int) -> Prompt:
    """A document of exercises that opens another one for `task`; `shots` is the number of the set it shows."""
    return render("problem", shots=shot_set(shots, N_SHOTS), task=task)


def shot_set(number: int, n: int) -> list[Exercise]:
    """n of the hand-written exercises, the same ones for the same number; the sets together show all equally often."""
    deck = Random(0).sample(exercises(), len(exercises()))  # noqa: S311  # no secret: which examples to show
    return [deck[(number * n + i) % len(deck)] for i in range(n)]


def parse_problem(task: str, text: str) -> Problem | Rejected:
    """The problem that a continuation of `problem_prompt` states. Never raises on any text."""
    fence = FENCE.search(text)
    hint = text[: fence.start()].strip().partition("\n")[0] if fence is not None else ""
    if fence is None or not hint or len(hint) > MAX_TASK_CHARS:
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
    """Problems whose functions have other names than the `known` exercises, and those that repeat one.

    Among each other they may share a name: their tasks differ (`distinct_tasks`), and the same answer to two of them
    is found where answers are selected.
    """
    kept: list[Problem] = []
    repeated: list[Problem] = []
    for problem in problems:
        (repeated if problem.function in known else kept).append(problem)
    return kept, repeated


def overlaps(text: str, shingles: frozenset[str], n: int = 8) -> bool:
    """Whether `n` words in a row of a text are among `shingles` (see `word_shingles`)."""
    return not shingles.isdisjoint(word_shingles([text], n))


def word_shingles(texts: Iterable[str], n: int = 8) -> frozenset[str]:
    """Every run of n words (letters only: numbers repeat everywhere) of each text: what decontamination compares."""
    return frozenset(
        " ".join(words[i : i + n])
        for words in (re.findall(r"[a-z]+", text.lower()) for text in texts)
        for i in range(len(words) - n + 1)
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _example_comes_last(stub: str) -> bool:
    """Whether the docstring ends as those of the exercises: from the first example on, nothing but examples.

    The data set puts another example there and closes the docstring (`dataset.with_example`).
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
