"""What a served model can do: samples for each task of a benchmark, judged in the sandbox, as pass@k.

Measures the *served* file (quantized, with or without an adapter), since that is what the user gets. Needs the
engine and the sandbox only: no torch. Beside what one sample is worth it says what consensus over all of them is
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
"""Inputs that a program must answer rightly before it is asked for the next, the task's own and at last all."""


class By(StrEnum):
    """Which of a task's inputs a sample is judged by."""

    ALL = "passed"
    OWN = "passed_own"
    """Those of MBPP itself, which others report as MBPP."""
    FIRST = "passed_first"
    """The first alone: that of the assert which the prompt shows, but for a few tasks of MBPP+."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One task: how many of its samples passed."""

    task: str
    passed: int
    n: int
    extracted: int
    """Samples that held a program at all."""
    passed_own: int
    """Samples that passed the inputs of MBPP itself, whatever they do on those that EvalPlus added."""
    passed_first: int
    """Samples that passed the first input, whatever they do on the others."""
    chosen: bool | None = None
    """Whether the sample that consensus chooses passed; None where there was one only."""
    chosen_own: bool | None = None
    """The same by the inputs of MBPP itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of all tasks and what they add up to."""

    scores: tuple[TaskScore, ...]
    n: int
    """Samples a task."""
    temperature: float

    def pass_at(self, k: int, by: By = By.ALL) -> Estimate:
        """pass@k over the tasks, with its 95 % interval (Wilson for one sample a task, else bootstrap over tasks)."""
        return estimate([getattr(score, by) for score in self.scores], self.n, k)

    def chosen(self, *, own: bool = False) -> Estimate | None:
        """The share of tasks where the sample that consensus chooses passed; None where one sample was drawn."""
        chosen = [score.chosen_own if own else score.chosen for score in self.scores]
        known = [right for right in chosen if right is not None]
        return wilson(sum(known), len(known)) if known else None

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
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
    """Sample and judge every task, in order; answers found in `store` are not sampled again."""
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
    """The reference solutions, judged as answers are: what the judging itself gets wrong shows here."""
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
    """What each task's reference solution does; what it returns is what answers are compared with."""
    found: dict[str, tuple[Outcome, ...]] = {}
    if not tasks:  # HumanEval's probes judge themselves: no stage to show
        return found
    with reporter.stage("references", len(tasks), "tasks") as step:
        for index, result in sandbox.stream(task.reference_job() for task in tasks):
            found[tasks[index].id] = result.outcomes
            step(len(found), "")
    return found


def judged(
    task: Task, answers: Sequence[Sample], sandbox: Sandbox, expected: Sequence[Outcome] | None
) -> TaskScore:
    """The score of a task's answers. `expected` is what its reference solution gave, None where the probes judge
    themselves. Equal programs run once; each sample counts."""
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
    """Those of `programs` that are right on the first input, on the task's own inputs, and on every input.

    Every input is asked in one job, as of a reference solution. Who is wrong shows on the first inputs already: the
    others are asked of the rest only. A program that hangs would spend its limit on each of a hundred inputs.
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
    """How many inputs to ask, one round after the other: some with a known answer in each, and all in the last."""
    n_inputs = len(task.probes)
    known = [index for index in range(n_inputs) if expected is None or expected[index].status is Status.OK]
    rounds = {known[n - 1] + 1 for n in SIFTING if n < len(known)} | {n_inputs}
    if known[:1] == [0]:
        rounds.add(1)
    if task.n_own is not None and known and known[0] < task.n_own:
        rounds.add(task.n_own)
    return sorted(rounds)
