"""The cursor positions of the benchmarks: a document, a place in it, and a judge.

Not a benchmark: `offered.py` and `confidence.py` use it.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.outcome import Outcome
from sandbox.pool import Sandbox
from sandbox.program import Check
from trainer.evaluation.benchmarks import BENCHMARKS, json_lines, load_benchmark
from trainer.evaluation.choice import stub_of
from trainer.evaluation.evaluate import reference_results
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from ucoder_lsp.completion.context import CompletionContext, context_at, leading_space

FORMATS = (*BENCHMARKS, "infilling")
CURSORS = ("body", "block", "line", "hole")


SHORTEST_BODY = 3
"""Lines of a body in which one is missing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in a document, and the task that says what is right there."""

    task: Task
    before: str
    after: str = ""

    def program(self, text: str) -> str:
        return self.before + text + self.after

    @property
    def context(self) -> CompletionContext:
        line, column = self.before.count("\n"), len(self.before.rpartition("\n")[2])
        return context_at(self.before + self.after, line, column)


class Judge:
    """Judges documents by the benchmark's own tests; equal documents run once."""

    def __init__(self, tasks: Sequence[Task], sandbox: Sandbox, reporter: ProgressReporter) -> None:
        self._sandbox = sandbox
        self._expected: dict[str, tuple[Outcome, ...]] = reference_results(
            [task for task in tasks if task.oracle is not None], sandbox, reporter
        )
        self._known: dict[tuple[str, str], bool] = {}

    def right(self, task: Task, program: str) -> bool:
        """Return whether a document passes the task's own tests."""
        if (task.id, program) not in self._known:
            source = f"{task.prelude}\n{program}" if task.prelude else program
            (result,) = self._sandbox.run([task.job(source, task.probes)])
            self._known[task.id, program] = task.passed(result.outcomes, self._expected.get(task.id))
        return self._known[task.id, program]


def load_places(file: Path, benchmark: str, cursor: str, limit: int | None) -> list[Place]:
    """Return the places of a benchmark file, at most `limit` of them, evenly spread."""
    if benchmark == "infilling":
        places = [_infilling(row) for row in json_lines(file)]
    else:
        tasks = load_benchmark(benchmark, file)
        found = (hole(task) if cursor == "hole" else _at_end(task, cursor) for task in tasks)
        places = [place for place in found if place is not None]
    if limit is None or limit >= len(places):
        return places
    return [places[number * len(places) // limit] for number in range(limit)]


def _at_end(task: Task, cursor: str) -> Place | None:
    text = document(task, cursor)
    return None if text is None else Place(task, text)


def hole(task: Task) -> Place | None:
    """Return the reference without one of its lines, chosen by the task's name.

    None where the body has fewer than three lines.
    """
    function = reference_function(task)
    first = function.body[ast.get_docstring(function, clean=False) is not None].lineno - 1
    lines = task.reference.rstrip("\n").split("\n")
    of_code = [number for number in range(first, function.end_lineno or 0) if lines[number].strip()]
    if len(of_code) < SHORTEST_BODY:
        return None
    missing = random.Random(task.id).choice(of_code)
    before = "".join(f"{line}\n" for line in lines[:missing]) + leading_space(lines[missing])
    return Place(task, before, "\n" + "\n".join(lines[missing + 1 :]) + "\n")


def document(task: Task, cursor: str) -> str | None:
    """Return the text before the cursor.

    None where the task's reference has no such place.
    """
    if cursor == "body":
        return stub(task)
    body = reference_body(task)
    begun = upper_half(body) if cursor == "block" else without_end_of_line(body)
    return None if begun is None else stub(task) + begun


def reference_body(task: Task) -> list[str]:
    """Return each statement after the reference's docstring.

    Its lines after the first are indented by four.
    """
    function = reference_function(task)
    documented = ast.get_docstring(function, clean=False) is not None
    return [ast.unparse(statement).replace("\n", "\n    ") for statement in function.body[documented:]]


def reference_function(task: Task) -> ast.FunctionDef:
    """Return the function of a task in its reference."""
    return next(
        node
        for node in reversed(ast.parse(task.reference).body)
        if isinstance(node, ast.FunctionDef) and node.name == task.function
    )


def upper_half(body: Sequence[str]) -> str | None:
    """Return the first half of the statements and a new line.

    None for a single statement.
    """
    kept = (len(body) + 1) // 2
    return "".join(f"{statement}\n    " for statement in body[:kept]) if kept < len(body) else None


def without_end_of_line(body: Sequence[str]) -> str | None:
    """Return the body up to the first word of its last line.

    None where that line has a single word.
    """
    text = "\n    ".join(body)
    above, newline, last = text.rpartition("\n")
    word, _, rest = last.lstrip().partition(" ")
    return f"{above}{newline}{leading_space(last)}{word} " if rest else None


def stub(task: Task) -> str:
    """Return a task's stub with its example, and an empty line."""
    if task.template == "solve_stub":
        return f"{task.statement.rstrip()}\n    "
    header = stub_of(task, [task.reference]).partition("\n")[0]
    sentence, _, claim = task.statement.partition("\nassert ")
    call, equal, value = claim.partition("\n")[0].partition(" == ")
    example = f">>> {call}\n    {value if equal else True}"
    return f'{header}\n    """{sentence.strip()}\n\n    {example}\n    """\n    '


def _infilling(row: dict[str, Any]) -> Place:
    """Make a place from one line of HumanEval-SingleLineInfilling.

    The cursor stands at the margin of the missing line, as in the file.

    Source: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle".
    """
    function = row["entry_point"]
    task = Task(
        id=row["task_id"],
        statement=row["prompt"],
        template="solve_stub",
        function=function,
        prelude="",
        reference=row["prompt"] + row["canonical_solution"] + row["suffix"],
        probes=(Check(f"{row['test']}\ncheck({function})\n"),),
    )
    return Place(task, row["prompt"], "\n" + row["suffix"])
