"""What a served model can do: samples for each task of a benchmark, judged in the sandbox, as pass@k.

Measures the *served* file (quantized, with or without an adapter), since that is what the user gets. Needs the
engine and the sandbox only: no torch. What it does not do: choose among the samples (see `ucoder consensus replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.outcome import JobResult
from sandbox.pool import Sandbox
from trainer.benchmarks import Task
from trainer.engines import in_parallel
from trainer.extract import end_of_answer, extract_function
from trainer.passk import Estimate, estimate
from trainer.sampler import Draw, Prompt, Sampler, render
from trainer.store import Store

Progress = Callable[[int, int], None]
"""Called with tasks done and tasks in all."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One task: how many of its samples passed."""

    task: str
    passed: int
    n: int
    extracted: int
    """Samples that held a program at all."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of all tasks and what they add up to."""

    scores: tuple[TaskScore, ...]
    n: int
    """Samples a task."""
    temperature: float

    def pass_at(self, k: int) -> Estimate:
        """pass@k over the tasks, with its 95 % interval (Wilson for one sample a task, else bootstrap over tasks)."""
        return estimate([score.passed for score in self.scores], self.n, k)

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        ks = [k for k in (1, 5, 10, 100) if k <= self.n]
        return {
            "n": self.n,
            "temperature": self.temperature,
            "pass_at": {str(k): asdict(self.pass_at(k)) for k in ks},
            "tasks": [asdict(score) for score in self.scores],
        }


def evaluate(
    tasks: Sequence[Task], sampler: Sampler, sandbox: Sandbox, draw: Draw, store: Store, progress: Progress
) -> Report:
    """Sample and judge every task, in order; answers found in `store` are not sampled again."""
    references = reference_results(tasks, sandbox)

    def score(task: Task) -> TaskScore:
        prompt = Prompt(sampler.chat(render(task.template, statement=task.statement).text))
        answers = sampler.sample_once(store, "answers", prompt, draw, end_of_answer(task.function))
        return _score(task, [answer.text for answer in answers], sandbox, references.get(task.id))

    scores = []
    for one in in_parallel(score, tasks, len(sampler.engines)):
        scores.append(one)
        progress(len(scores), len(tasks))
    return Report(tuple(scores), draw.n, draw.temperature)


def evaluate_references(tasks: Sequence[Task], sandbox: Sandbox, progress: Progress) -> Report:
    """The reference solutions, judged as answers are: what the judging itself gets wrong shows here."""
    references = reference_results(tasks, sandbox)
    scores = []
    for number, (task, result) in enumerate(_run_references(tasks, sandbox)):
        progress(number + 1, len(tasks))
        right = task.passed(result, references.get(task.id))
        scores.append(TaskScore(task.id, int(right), 1, 1))
    return Report(tuple(scores), 1, 0.0)


def reference_results(tasks: Sequence[Task], sandbox: Sandbox) -> dict[str, JobResult]:
    """What the reference solutions return where values are compared outside the sandbox."""
    compared = [task for task in tasks if task.oracle is not None]
    return {task.id: result for task, result in _run_references(compared, sandbox)}


def _run_references(tasks: Sequence[Task], sandbox: Sandbox) -> Iterator[tuple[Task, JobResult]]:
    results = sandbox.run([task.reference_job() for task in tasks])
    return zip(tasks, results, strict=True)


def _score(task: Task, answers: Sequence[str], sandbox: Sandbox, reference: JobResult | None) -> TaskScore:
    """Equal programs run once; each sample counts."""
    programs = [extract_function(answer, task.function, task.prelude) for answer in answers]
    distinct = list(dict.fromkeys(program for program in programs if program is not None))
    results = sandbox.run([task.job(program) for program in distinct])
    right = {p for p, result in zip(distinct, results, strict=True) if task.passed(result, reference)}
    return TaskScore(
        task.id,
        passed=sum(program in right for program in programs),
        n=len(answers),
        extracted=sum(program is not None for program in programs),
    )
