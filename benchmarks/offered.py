"""Measure how often the offered completion is right, against one sample.

    python -P benchmarks/offered.py benchmarks/development_harder.jsonl        # some minutes on 2 cores
    python -P benchmarks/offered.py benchmarks/development_harder.jsonl --cursor block
    python -P benchmarks/offered.py benchmarks/development_harder.jsonl --temperatures 0.4 0.8 --candidates 16
    python -P benchmarks/offered.py HumanEval.jsonl.gz --benchmark humaneval

Each task's stub is typed into a document of the real server, over stdio. The cursor is in the empty body. With
`--cursor block` the document already holds the first half of the reference's body. With `--cursor line` it holds the
whole body up to the first word of the last line. Tasks whose reference has no such place are left out.

The benchmark's own tests judge, in the sandbox:

- the completion that is offered;
- every candidate that it was chosen from (the figure of one sample is their mean; filtered candidates count too);
- what the server offers at temperature 0, where it draws a single candidate.

The server uses the adapter that it served last (`ucoder adapters list`). Sentences (MBPP+'s format) become stubs with
the parameters of the reference and the assert as an example. Differences are paired by task; their 95 % interval is a
bootstrap over tasks. Unknown flags are passed to the server. Run nothing else meanwhile: on a busy machine requests
reach their deadline.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.outcome import Outcome
from sandbox.pool import Sandbox
from trainer.evaluation.benchmarks import load_benchmark
from trainer.evaluation.choice import stub_of
from trainer.evaluation.evaluate import judged, reference_results
from trainer.evaluation.statistics import Estimate, bootstrap_mean
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from trainer.sampling.sampler import Sample
from ucoder_lsp.completion.context import leading_space
from ucoder_lsp.completion.insertable import CANCELLED
from ucoder_lsp.server.client import SERVER, Editor


@dataclass(slots=True)
class Results:
    """The results of every task with one server, in order."""

    offered: list[float] = field(default_factory=list)
    """1.0 where the offered completion is right."""
    sample: list[float] = field(default_factory=list)
    """The share of the candidates that is right."""
    any_right: list[float] = field(default_factory=list)
    decided_by: list[str] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)


class Judge:
    """Judges programs by the benchmark's own tests; duplicates run once."""

    def __init__(self, tasks: Sequence[Task], sandbox: Sandbox, reporter: ProgressReporter) -> None:
        self._sandbox = sandbox
        self._expected: dict[str, tuple[Outcome, ...]] = reference_results(
            [task for task in tasks if task.oracle is not None], sandbox, reporter
        )
        self._known: dict[tuple[str, str], bool] = {}

    def right(self, task: Task, program: str) -> bool:
        if (task.id, program) not in self._known:
            answer = Sample(program, 0.0, finished=True)
            score = judged(task, [answer], self._sandbox, self._expected.get(task.id))
            self._known[task.id, program] = score.passed == 1
        return self._known[task.id, program]


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
    function = next(
        node
        for node in reversed(ast.parse(task.reference).body)
        if isinstance(node, ast.FunctionDef) and node.name == task.function
    )
    documented = ast.get_docstring(function, clean=False) is not None
    return [ast.unparse(statement).replace("\n", "\n    ") for statement in function.body[documented:]]


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


async def ask(
    tasks: Sequence[tuple[Task, str]],
    judge: Judge,
    flags: Sequence[str],
    reporter: ProgressReporter,
    what: str,
) -> Results:
    """Type every task into one server, and judge what it offers.

    `tasks` pairs each task with the text before the cursor.
    """
    results = Results()
    with tempfile.TemporaryDirectory() as workspace, reporter.stage(what, len(tasks), "tasks") as step:
        async with Editor(Path(workspace), command=(*SERVER, *flags)) as editor:
            await editor.ready()
            for number, (task, text) in enumerate(tasks, 1):
                uri = editor.open(f"task_{number}.py", text)
                lines = text.split("\n")
                offered = await editor.inline_completion(uri, len(lines) - 1, len(lines[-1]))
                explanation = await editor.explain_request()
                assert explanation is not None, "every answered request has an explanation"
                await asyncio.to_thread(record, results, judge, task, text, offered, explanation)
                step(number, "")
    return results


def record(
    results: Results, judge: Judge, task: Task, text: str, offered: str, explanation: dict[str, Any]
) -> None:
    """Judge the candidates and the completion of one request."""
    drawn = [c for c in explanation["candidates"] if CANCELLED not in c["status"]]
    right = [(c["count"], judge.right(task, text + c["text"])) for c in drawn]
    results.offered.append(float(bool(offered) and judge.right(task, text + offered)))
    results.sample.append(sum(n for n, good in right if good) / max(sum(n for n, _ in right), 1))
    results.any_right.append(float(any(good for _, good in right)))
    results.decided_by.append(explanation["decidedBy"])
    results.total_ms.append(explanation["timings"]["total_ms"])


def percent(found: Estimate, sign: str = "") -> str:
    low, value, high = (f"{100 * x:{sign}.1f}" for x in (found.low, found.value, found.high))
    return f"{value} ({low} to {high})"


def differences(first: Sequence[float], second: Sequence[float]) -> str:
    return percent(bootstrap_mean([a - b for a, b in zip(first, second, strict=True)]), "+")


def row(temperature: float, results: Results, greedy: Results) -> str:
    """Format one line of the table."""
    decided = Counter(results.decided_by)
    right = Counter(how for how, good in zip(results.decided_by, results.offered, strict=True) if good)
    cells = [
        f"{temperature:g}",
        percent(bootstrap_mean(results.sample)),
        percent(bootstrap_mean(results.offered)),
        f"{100 * statistics.mean(results.any_right):.1f}",
        differences(results.offered, results.sample),
        differences(results.offered, greedy.offered),
        "; ".join(f"{how} {right[how]} of {n}" for how, n in decided.most_common()),
        f"{statistics.median(results.total_ms):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a benchmark file")
    parser.add_argument(
        "--benchmark",
        choices=["humaneval", "mbppplus"],
        default="mbppplus",
        help="format (default: mbppplus)",
    )
    parser.add_argument(
        "--cursor",
        choices=["body", "block", "line"],
        default="body",
        help="place of the cursor (default: body)",
    )
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        default=[0.6],
        metavar="T",
        help="one row each (default: 0.6)",
    )
    arguments, flags = parser.parse_known_args()
    tasks = [
        (task, text)
        for task in load_benchmark(arguments.benchmark, arguments.file)
        if (text := document(task, arguments.cursor)) is not None
    ]
    with Sandbox(lowest_tier=1) as sandbox:
        reporter = ProgressReporter(console=Console(stderr=True))
        judge = Judge([task for task, _ in tasks], sandbox, reporter)

        def served(temperature: float) -> Results:
            what = f"at {temperature:g}"
            return asyncio.run(ask(tasks, judge, [*flags, "--temperature", str(temperature)], reporter, what))

        greedy = served(0.0)
        machine = f"{os.cpu_count()} CPUs, {platform.processor() or platform.machine()}"
        print(f"{len(tasks)} tasks, cursor in {arguments.cursor}, {machine}")
        print(
            f"at temperature 0 offered {percent(bootstrap_mean(greedy.offered))}, "
            f"p50 {statistics.median(greedy.total_ms):.0f} ms\n"
        )
        print(
            "| temperature | one sample | offered | any | offered - one | offered - greedy | right, by | p50 ms |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for temperature in arguments.temperatures:
            print(row(temperature, served(temperature), greedy), flush=True)


if __name__ == "__main__":
    main()
