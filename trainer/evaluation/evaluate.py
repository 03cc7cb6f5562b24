"""Measures a served model.

It samples each task of a benchmark and judges the samples in the sandbox, as pass@k.

Measures the *served* file (quantized, with or without an adapter), because users get that one. Needs the engine and
the sandbox, but not torch. Reports pass@k of the samples, and how often the one that consensus chooses is right
(`trainer.evaluation.choice`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sandbox.consensus.election import distinct
from sandbox.outcome import Outcome, Status
from sandbox.pool import Sandbox
from trainer.evaluation.choice import choose
from trainer.evaluation.statistics import Estimate, estimate, wilson
from trainer.evaluation.task import Task
from trainer.progress import ProgressReporter
from trainer.run.store import Stage, Store
from trainer.sampling.answers import end_of_answer, extract_function
from trainer.sampling.engines import in_parallel
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler, render

ANSWERS = Stage("answers")
SIFTING = (1, 8)
"""Rounds of judging: a program runs on so many inputs first, then on the task's own, then on all."""


class By(StrEnum):
    """The inputs of a task that a sample is judged by."""

    ALL = "passed"
    OWN = "passed_own"
    """The inputs of MBPP itself; others report this figure as MBPP."""
    FIRST = "passed_first"
    """The first input alone: for all but a few tasks of MBPP+, that of the assert in the prompt."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The score of one task: how many of its samples passed."""

    task: str
    passed: int
    n: int
    extracted: int
    """Samples that held a program."""
    passed_own: int
    """Samples that passed the inputs of MBPP itself; those that EvalPlus added do not count."""
    passed_first: int
    """Samples that passed the first input; others do not count."""
    chosen: bool | None = None
    """Whether the sample that consensus chooses passed; None with a single sample."""
    chosen_own: bool | None = None
    """The same, by the inputs of MBPP itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of all tasks, and the figures over them."""

    scores: tuple[TaskScore, ...]
    n: int
    """Samples per task."""
    temperature: float

    def pass_at(self, k: int, by: By = By.ALL) -> Estimate:
        """Return pass@k over the tasks with its 95 % interval (`trainer.evaluation.statistics.estimate`)."""
        return estimate([getattr(score, by) for score in self.scores], self.n, k)

    def chosen(self, *, own: bool = False) -> Estimate | None:
        """Return the share of tasks whose chosen sample passed.

        None with a single sample per task.
        """
        chosen = [score.chosen_own if own else score.chosen for score in self.scores]
        known = [right for right in chosen if right is not None]
        return wilson(sum(known), len(known)) if known else None

    def to_json(self) -> dict[str, Any]:
        """Return figures and scores as plain data."""
        chosen, chosen_own = self.chosen(), self.chosen(own=True)
        ks = [k for k in (1, 5, 10, 100) if k <= self.n]
        return {
            "n": self.n,
            "temperature": self.temperature,
            "pass_at": {str(k): asdict(self.pass_at(k)) for k in ks},
            "pass_at_own": {str(k): asdict(self.pass_at(k, By.OWN)) for k in ks},
            "pass_at_first": {str(k): asdict(self.pass_at(k, By.FIRST)) for k in ks},
            "chosen": chosen and asdict(chosen),
            "chosen_own": chosen_own and asdict(chosen_own),
            "tasks": [asdict(score) for score in self.scores],
        }


def evaluate(
    tasks: Sequence[Task],
    sampler: Sampler,
    sandbox: Sandbox,
    draw: Draw,
    store: Store,
    reporter: ProgressReporter,
) -> Report:
    """Sample and judge every task, in order.

    Answers already in `store` are not sampled again.
    """
    references = reference_results([task for task in tasks if task.oracle is not None], sandbox, reporter)

    def score(task: Task) -> TaskScore:
        prompt = Prompt(sampler.chat(render(task.template, statement=task.statement).text))
        answers = sampler.sample_once(store, ANSWERS, prompt, draw, end_of_answer(task.function))
        return judged(task, answers, sandbox, references.get(task.id))

    scores = []
    with reporter.stage("tasks", len(tasks), "tasks") as step:
        for one in in_parallel(score, tasks, len(sampler.engines)):
            scores.append(one)
            step(len(scores), "")
    return Report(tuple(scores), draw.n, draw.temperature)


def evaluate_references(tasks: Sequence[Task], sandbox: Sandbox, reporter: ProgressReporter) -> Report:
    """Judge the reference solutions, to show errors of the judging itself."""
    given = reference_results(tasks, sandbox, reporter)
    expected = reference_results([task for task in tasks if task.oracle is not None], sandbox, reporter)

    def score(task: Task) -> TaskScore:
        got, wanted = given[task.id], expected.get(task.id)
        right = task.passed(got, wanted)
        right_first, right_own = (
            task.passed(got[:n], wanted[:n] if wanted is not None else None) for n in (1, task.n_own)
        )
        return TaskScore(task.id, int(right), 1, 1, int(right_own), int(right_first))

    return Report(tuple(map(score, tasks)), 1, 0.0)


def reference_results(
    tasks: Sequence[Task], sandbox: Sandbox, reporter: ProgressReporter
) -> dict[str, tuple[Outcome, ...]]:
    """Return the outcomes of the reference solutions, by task."""
    found: dict[str, tuple[Outcome, ...]] = {}
    if not tasks:  # HumanEval's probes need no references: no stage to show
        return found
    with reporter.stage("references", len(tasks), "tasks") as step:
        for index, result in sandbox.stream(task.reference_job() for task in tasks):
            found[tasks[index].id] = result.outcomes
            step(len(found), "")
    return found


def judged(
    task: Task, answers: Sequence[Sample], sandbox: Sandbox, expected: Sequence[Outcome] | None
) -> TaskScore:
    """Return the score of a task's answers.

    `expected` are the outcomes of its reference solution; None where the probes are the benchmark's own test function.
    Duplicate programs run once; each sample counts.
    """
    programs = [extract_function(answer.text, task.function, task.prelude) for answer in answers]
    right_first, right_own, right = _right(task, distinct(programs), sandbox, expected)
    several = len(answers) > 1
    chosen = choose(task, programs, [a.mean_logprob for a in answers], sandbox) if several else None
    return TaskScore(
        task.id,
        passed=sum(program in right for program in programs),
        n=len(answers),
        extracted=sum(program is not None for program in programs),
        passed_own=sum(program in right_own for program in programs),
        passed_first=sum(program in right_first for program in programs),
        chosen=chosen in right if several else None,
        chosen_own=chosen in right_own if several else None,
    )


def _right(
    task: Task, programs: Sequence[str], sandbox: Sandbox, expected: Sequence[Outcome] | None
) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Return the programs right on the first, on the own, and on all inputs.

    A wrong program mostly fails on the first inputs, so only the remaining ones run on more. A program that hangs
    would otherwise spend its limit on each of a hundred inputs. Each round runs all its inputs in one job, as the
    reference solution does (`docs/decisions.md`, "Judging stops at the first wrong input").
    """
    right_first: Sequence[str] = ()
    right_own: Sequence[str] = ()
    for n in _first_inputs(task, expected):
        probes, known = task.probes[:n], expected[:n] if expected is not None else None
        results = sandbox.run([task.job(program, probes) for program in programs])
        programs = [
            program
            for program, result in zip(programs, results, strict=True)
            if task.passed(result.outcomes, known)
        ]
        if n == 1:
            right_first = programs
        if n == (task.n_own or len(task.probes)):
            right_own = programs
    return right_first, right_own, programs


def _first_inputs(task: Task, expected: Sequence[Outcome] | None) -> list[int]:
    """Return the number of inputs of each round.

    Each round adds inputs with a known answer; the last has all inputs.
    """
    n_inputs = len(task.probes)
    known = [index for index in range(n_inputs) if expected is None or expected[index].status is Status.OK]
    rounds = {known[n - 1] + 1 for n in SIFTING if n < len(known)} | {n_inputs}
    if known[:1] == [0]:
        rounds.add(1)
    if task.n_own is not None and known and known[0] < task.n_own:
        rounds.add(task.n_own)
    return sorted(rounds)
