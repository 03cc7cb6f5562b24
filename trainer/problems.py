"""Stage 1, problem space probing: the model invents exercises by continuing a list of them (paper, section 2.2).

A base model that chats badly still continues a document well, so a prompt shows a few exercises of
`prompts/exercises.md` and opens another one about a topic (measured: chat prompts gave 1 well-formed problem of 6,
continuations 5 of 5). What is kept has a typed signature, a docstring and an example that can be read; whether it
makes sense is for the later stages to find out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from sandbox.inputs.examples import from_docstring
from sandbox.inputs.target import parse_quietly
from trainer.sampler import PROMPTS, Prompt, render

TOPICS = (
    "numbers", "strings", "lists", "dictionaries", "tuples", "sets", "sorting", "counting", "searching",
    "checking", "loops", "words", "geometry", "digits", "divisors", "primes", "sequences", "sums", "averages",
    "maximum and minimum", "pairs", "filtering", "text formatting", "temperature", "money", "matrices",
    "characters", "vowels", "palindromes", "ranges", "grouping", "percentages", "distances", "time", "bits",
    "nested lists", "removing duplicates", "merging", "splitting", "replacing", "conversion", "powers",
    "multiples", "positions", "frequencies", "intervals",
)  # fmt: skip
"""What exercises are about: steers the samples apart."""

FENCE = re.compile(r"^```python\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
N_SHOTS = 4
SHOT_SETS = 16
"""Different choices of exercises that prompts show: prompts with the same one share most of their computing."""
MAX_STUB_CHARS = 1_200


@dataclass(frozen=True, slots=True)
class Exercise:
    """A hand-written exercise: what the prompts of the stages show as an example."""

    topic: str
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

    topic: str
    title: str
    task: str
    """One or two sentences: what the function does."""
    hint: str
    function: str
    stub: str
    """Imports, typed signature and docstring with an example: a program but for the body."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that is no problem, and why."""

    reason: str


@lru_cache(maxsize=1)
def exercises() -> tuple[Exercise, ...]:
    """The hand-written exercises."""
    found = []
    for section in (PROMPTS / "exercises.md").read_text("utf-8").split("## Exercise about ")[1:]:
        heading, text = section.split("\n", 1)
        topic, title = heading.split(": ", 1)
        code, asserts = FENCE.findall(text)
        found.append(
            Exercise(topic, title, _field(text, "Task"), _field(text, "Hint"), code.rstrip(), asserts.strip())
        )
    return tuple(found)


def problem_prompt(topic: str, shots: int) -> Prompt:
    """A document of exercises that opens another one about `topic`; `shots` is the number of the set it shows."""
    return render("problem", shots=shot_set(shots, N_SHOTS), topic=topic)


def shot_set(number: int, n: int) -> list[Exercise]:
    """n of the hand-written exercises, the same ones for the same number; the sets together show all equally often."""
    deck = Random(0).sample(exercises(), len(exercises()))  # noqa: S311  # no secret: which examples to show
    return [deck[(number * n + i) % len(deck)] for i in range(n)]


def parse_problem(topic: str, text: str) -> Problem | Rejected:
    """The problem that a continuation of `problem_prompt` states. Never raises on any text."""
    title = text.strip().split("\n", 1)[0].strip()
    task, hint = _field(text, "Task"), _field(text, "Hint")
    fence = FENCE.search(text)
    if not title or len(title) > 80 or not task or fence is None:
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
    return Problem(topic, title, task, hint, function.name, stub)


def distinct(problems: Iterable[Problem], known: Sequence[str] = ()) -> tuple[list[Problem], list[Problem]]:
    """Problems that ask for something new, in order, and those that repeat one.

    Two problems are the same when their functions have the same name, or their tasks the same words.
    `known` are names that count as seen.
    """
    names, tasks = set(known), set()
    kept, repeated = [], []
    for problem in problems:
        words = frozenset(_words(problem.task))
        if problem.function in names or words in tasks:
            repeated.append(problem)
            continue
        names.add(problem.function)
        tasks.add(words)
        kept.append(problem)
    return kept, repeated


def overlaps(problem: Problem, shingles: frozenset[str], n: int = 8) -> bool:
    """Whether `n` words in a row of the problem's text are among `shingles` (see `word_shingles`)."""
    return not shingles.isdisjoint(word_shingles([problem.task, problem.stub], n))


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
