"""Stage `tasks`.

The model writes requests to a coding assistant (paper, section 2.2).

A chat model has learned the questions of people as well as the answers. Where its chat template opens the user's turn
with "Write a function to", it goes on with a task like those that it has seen (Magpie, Xu et al. 2024). A base without
a chat template continues a list of tasks instead. The later stages find out whether a task makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainer.run.store import Stage
from trainer.sampling.sampler import Draw, Prompt, Sample, render
from trainer.stages.context import SampleRequest, StageContext
from trainer.stages.decontamination import EXCLUDED, overlaps
from trainer.stages.exercises import SHOT_SETS, shot_set, shot_set_of
from trainer.stages.funnel import Funnel, Rejected

STAGE = Stage("tasks")
BATCH = 16
"""Continuations of one opening."""
MAX_TOKENS = 48
N_SHOTS = 4
MAX_TASK_CHARS = 160

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
"""The beginnings of the tasks, all different, so that the samples differ."""

UNSUITED = re.compile(
    r"java|c\+\+|c#|php|sql|html|css|pandas|numpy|data ?frame|json|xml|csv|\bfiles?\b|\burl|\bapi\b|random|database|"
    r"\bprint|image|\buser|website|datetime|current|\bclass\b|\bobject",
    re.IGNORECASE,
)
"""Tasks for another language, for a library, or about more than plain values in and a plain value out: programs for
those cannot be compared."""


def run(context: StageContext, nights: int) -> list[str]:
    """Sample the tasks of all nights.

    Those whose prompts share examples follow one another.
    """
    n_batches = nights * -(-context.profile.task_samples // BATCH)
    openings = [OPENINGS[number % len(OPENINGS)] for number in range(n_batches)]

    def batch(number: int) -> list[Sample]:
        return context.sample(STAGE, request(openings[number], number, context))

    sampled = context.each(STAGE.name, range(n_batches), batch, unit="openings")
    found: list[str] = []
    for opening, samples in zip(openings, sampled, strict=True):
        for sample in samples:
            task = read(opening, sample)
            if isinstance(task, Rejected):
                context.funnel.count(STAGE.name, task.reason, opening, f"{opening}{sample.text}")
            else:
                found.append(task)
    return sorted(_usable(found, context.excluded, context.funnel), key=shot_set_of)


def _usable(tasks: Iterable[str], excluded: frozenset[str], funnel: Funnel) -> list[str]:
    """The distinct tasks that do not overlap an excluded file."""
    different, repeated = distinct(tasks)
    for task in repeated:
        funnel.count(STAGE.name, "repeats another", "", task)
    kept = []
    for task in different:
        if overlaps(task, excluded):
            funnel.count(STAGE.name, EXCLUDED, "", task)
        else:
            funnel.count(STAGE.name, "kept", "", task)
            kept.append(task)
    return kept


def request(opening: str, number: int, context: StageContext) -> SampleRequest:
    """Request batch `number` of the run: tasks that begin with `opening`."""
    profile = context.profile
    draw = Draw(
        BATCH, MAX_TOKENS, profile.task_temperature, profile.seed + number, stop=("\n", ". "),
    )  # fmt: skip
    return SampleRequest(prompt(opening, context.sampler.user_turn(opening), number % SHOT_SETS), draw)


def prompt(opening: str, turn: str | None, shots: int) -> Prompt:
    """Return the user's unfinished turn (`Sampler.user_turn`), or a list of tasks to continue."""
    if turn is not None:
        return Prompt(turn)
    return render("task", shots=shot_set(shots, N_SHOTS), opening=opening)


def read(opening: str, sample: Sample) -> str | Rejected:
    """Read a continuation of `opening` as a task of one sentence.

    Never raises on any text.
    """
    rest = " ".join(sample.text.split()).strip(" .:,;")
    task = re.sub(r",? (in|using) python( code)?$", "", f"{opening} {rest}".strip(), flags=re.IGNORECASE)
    if not sample.finished or len(task) > MAX_TASK_CHARS:
        return Rejected("does not come to an end")
    if len(task) <= len(opening):
        return Rejected("is empty")
    if any(task.count(mark) % 2 for mark in '`"') or task.count("(") != task.count(")"):
        return Rejected("breaks off")
    if UNSUITED.search(task):
        return Rejected("needs more than plain values")
    return task.replace("Write a Python function", "Write a function", 1) + "."


def distinct(tasks: Iterable[str]) -> tuple[list[str], list[str]]:
    """Separate the tasks from their duplicates, both in order.

    A duplicate has the same words in any order.
    """
    known: set[frozenset[str]] = set()
    kept: list[str] = []
    repeated: list[str] = []
    for task in tasks:
        words = frozenset(re.findall(r"[a-z0-9]+", task.lower()))
        (repeated if words in known else kept).append(task)
        known.add(words)
    return kept, repeated
