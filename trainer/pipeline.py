"""One night of self-training: six stages, a data set, an adapter, a gate, a publication (paper, figure 2).

Every piece of work is a shard of the run folder, so a run that was killed goes on where it was and ends with the same
data set. What it does not do: choose the numbers (`profile`), judge behaviour (`sandbox`), show anything (`report`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.inputs import ProbeSet
from sandbox.pool import Sandbox
from trainer.adapter_gate import Verdict, compare, share_right
from trainer.data import dataset
from trainer.data.dataset import Control, Example, OwnAnswers
from trainer.data.own_answers import Answered, Found, confirm, different, sort_out
from trainer.profile import Profile
from trainer.progress import Teller
from trainer.run.store import Store
from trainer.sampling.answers import end_of_answer, end_of_block, extract_function
from trainer.sampling.engines import in_parallel
from trainer.sampling.sampler import Draw, Prompt, Sample, Sampler
from trainer.stages import problems, selection
from trainer.stages import solutions as stages
from trainer.stages.problems import Problem, Rejected
from trainer.stages.selection import Dropped, Selected
from trainer.stages.solutions import Solution

TASK_BATCH = 16
"""Continuations of one opening in stage 1."""
TASK_TOKENS = 48
PROBLEM_TOKENS = 160
ANSWER_TOKENS = 256
"""Of an answer in a chat: what the evaluation allows too."""
EXAMINED = 2
"""Raised when stage 6 keeps something else of a problem: a run of an earlier version examines its problems again."""
EXCLUDED = "overlaps an excluded file"
KEPT_EXAMPLES = 8
"""Examples of kept and dropped things that the report shows of each kind."""

T = TypeVar("T")


@dataclass(slots=True)
class Funnel:
    """What each stage got, kept and dropped, with reasons and examples: the report."""

    stages: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def count(self, stage: str, what: str, title: str = "", text: str = "") -> None:
        """Count one thing; the first few of a kind are kept as examples."""
        self.stages.setdefault(stage, Counter())[what] += 1
        shown = self.examples.setdefault(f"{stage}: {what}", [])
        if text and len(shown) < KEPT_EXAMPLES:
            shown.append({"title": title, "text": text})

    def to_json(self) -> dict[str, Any]:
        return {
            "stages": {name: dict(counts) for name, counts in self.stages.items()},
            "examples": self.examples,
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A problem with all that is known of it so far."""

    problem: Problem
    tests: tuple[str, ...]
    """Blocks of asserts."""
    solutions: tuple[Solution, ...] = ()


@dataclass(slots=True)
class Loop:
    """What the stages work with."""

    profile: Profile
    sampler: Sampler
    store: Store
    sandbox: Sandbox
    teller: Teller
    excluded: frozenset[str] = frozenset()
    """Runs of words that no problem may hold (see `problems.word_shingles`): decontamination."""
    nights: int = 1
    """How often the profile's number of tasks is sampled: those of the nights before are found again."""
    funnel: Funnel = field(default_factory=Funnel)
    work: list[Work] = field(default_factory=list)
    """The problems kept, with the solutions of all rounds so far."""

    def probe(self) -> tuple[list[Selected], list[Control]]:
        """Stages 1 to 6: selected problems, and the pool that the control arm draws from."""
        kept = self._rated(self._problems())
        plans = self._each(
            "skeletons", kept, lambda p: self._ask("skeletons", stages.ask_plans(p, self.profile))
        )
        tests = self._each("tests", kept, lambda p: self._ask("tests", stages.ask_tests(p, self.profile)))
        works = [
            Work(problem, tuple(stages.read_tests(problem, asked)))
            for problem, asked in zip(kept, tests, strict=True)
        ]
        self.work = self._solutions(works, plans)
        return self._select("")

    def probe_again(self, adapted: Sampler, held: Sequence[Selected], number: int) -> list[Selected]:
        """Round `number`, from 2 on: the last adapter's answers join the candidates, and stage 6 chooses anew.

        The held-out problems are left as the base alone has solved them, since they judge the adapter.
        """
        known = {item.problem.function for item in held}
        self.work = [work for work in self.work if work.problem.function not in known]
        examined = [self._examine(work) for work in self.work]
        asked = list(zip(self.work, examined, strict=True))
        answers = self._each(
            f"solutions, round {number}", asked, lambda pair: self._answers(pair[0], pair[1], adapted, number)
        )
        self.work = [
            Work(work.problem, work.tests, (*work.solutions, *found))
            for work, found in zip(self.work, answers, strict=True)
        ]
        return self._select(f", round {number}")[0]

    def examples(self, picked: Iterable[tuple[Problem, Sequence[str], Sequence[str]]]) -> list[Example]:
        """Training examples of (problem, programs, asserts), in the order given."""
        made = [
            e
            for p, sources, asserts in picked
            for e in dataset.examples(p, sources, asserts, self.sampler.chat)
        ]
        self.funnel.stages.pop("dataset", None)  # of an earlier round
        self.funnel.stages["dataset"] = Counter({"examples": len(made)})
        return made

    def own_answers(self, held: Sequence[Selected], *, selected: bool) -> OwnAnswers:
        """What the base itself answers to the problems that are not held out, by what it does (`confirm`).

        Problems without a value to show in the prompt are left out (`shown_value`). For the control arm nothing is
        run, and all are rehearsed.
        """
        known = {item.problem.function for item in held}
        work = [work for work in self.work if work.problem.function not in known]

        def answers(one: Work) -> list[list[Answered]]:
            examined = self._examine(one)
            value = shown_value(examined, selected=selected)
            function = one.problem.function
            prompts = () if value is None else dataset.served_prompts(one.problem, value, self.sampler.chat)
            draw = Draw(
                self.profile.own_answers, ANSWER_TOKENS, self.profile.solution_temperature, self.profile.seed
            )
            found: list[list[Answered]] = []
            for prompt in prompts:
                samples = self._sample("own answers", Prompt(prompt), draw, end_of_answer(function))
                written = [dataset.own_answer(function, prompt, sample) for sample in samples]
                found.append(
                    [
                        (answer, self._confirm(answer, examined["claims"]) if selected else Found.NOT_RUN)
                        for answer in different(written)
                    ]
                )
            return found

        by_prompt = [prompt for found in self._each("own answers", work, answers) for prompt in found]
        counts = Counter(str(what) for prompt in by_prompt for _, what in prompt)
        counts["hold no program, or repeat another"] = (
            self.profile.own_answers * len(by_prompt) - counts.total()
        )
        self.funnel.stages["own answers"] = counts
        return sort_out(by_prompt)

    def _confirm(self, answer: Example, claims: Sequence[str]) -> Found:
        made = self.store.get_or_make(
            "own answers, run", [asdict(answer), claims], lambda: confirm(answer, claims, self.sandbox)
        )
        return Found(made)

    def inputs(self, problem: Problem) -> ProbeSet:
        """The probe inputs of a problem whose tests were sampled."""
        texts = stages.read_tests(problem, self._ask("tests", stages.ask_tests(problem, self.profile)))
        return selection.probes_for(problem, texts, self.profile)

    # --- stages, in order ------------------------------------------------------------------------------------

    def _tasks(self) -> list[str]:
        """Stage 1, first half: what people ask."""
        n_batches = self.nights * -(-self.profile.task_samples // TASK_BATCH)
        openings = [problems.OPENINGS[number % len(problems.OPENINGS)] for number in range(n_batches)]

        def batch(number: int) -> list[Sample]:
            opening = openings[number]
            turn = self.sampler.user_turn(opening)
            prompt = problems.task_prompt(opening, turn, number % problems.SHOT_SETS)
            draw = Draw(
                TASK_BATCH, TASK_TOKENS, self.profile.task_temperature, self.profile.seed + number,
                stop=("\n", ". "),
            )  # fmt: skip
            return self._sample("tasks", prompt, draw)

        found: list[str] = []
        for opening, samples in zip(openings, self._each("tasks", range(n_batches), batch), strict=True):
            for sample in samples:
                task = problems.read_task(opening, sample)
                if isinstance(task, Rejected):
                    self.funnel.count("tasks", task.reason, opening, f"{opening}{sample.text}")
                else:
                    found.append(task)
        different, repeated = problems.distinct_tasks(found)
        for task in repeated:
            self.funnel.count("tasks", "repeats another", "", task)
        kept = []
        for task in different:
            excluded = problems.overlaps(task, self.excluded)
            self.funnel.count("tasks", EXCLUDED if excluded else "kept", "", task)
            if not excluded:
                kept.append(task)
        return sorted(kept, key=stages.shots_of)

    def _problems(self) -> list[Problem]:
        """Stage 1, second half: each task stated as an exercise."""
        tasks = self._tasks()

        def attempt(task: str, number: int) -> Problem | Rejected:
            prompt = problems.problem_prompt(task, stages.shots_of(task))
            draw = Draw(1, PROBLEM_TOKENS, self.profile.problem_temperature, self.profile.seed + number)
            (sample,) = self._sample("problems", prompt, draw, end_of_block)
            return problems.parse_problem(task, sample.text)

        def state(task: str) -> Problem | Rejected:
            stated = attempt(task, 0)
            return stated if isinstance(stated, Problem) else attempt(task, 1)  # one in three loses its form

        found: list[Problem] = []
        for task, stated in zip(tasks, self._each("problems", tasks, state), strict=True):
            if isinstance(stated, Rejected):
                self.funnel.count("problems", stated.reason, "", task)
            else:
                found.append(stated)
        shown = [exercise.function for exercise in problems.exercises()]
        kept, repeated = problems.new_to(shown, found)
        for problem in repeated:
            self.funnel.count("problems", "repeats an exercise", problem.title, problem.stub)
        clean = []
        for problem in kept:
            excluded = problems.overlaps(problem.stub, self.excluded)
            text = f"{problem.task}\n\n{problem.stub}"
            self.funnel.count("problems", EXCLUDED if excluded else "kept", problem.title, text)
            if not excluded:
                clean.append(problem)
        return clean

    def _rated(self, found: list[Problem]) -> list[Problem]:
        """Stage 2: the best rated share, those whose prompts begin alike one after the other."""

        def rate(problem: Problem) -> stages.Rating:
            return stages.read_rating(self._ask("ratings", stages.ask_rating(problem, self.profile)))

        ratings = self._each("ratings", found, rate)
        order = sorted(range(len(found)), key=lambda i: (-ratings[i].quality, i))
        best = set(order[: math.ceil(len(found) * self.profile.keep_rated)])
        for i, (problem, rating) in enumerate(zip(found, ratings, strict=True)):
            what = "kept" if i in best else "rated low"
            text = f"quality {rating.quality:.1f}, difficulty {rating.difficulty:.1f}\n\n{problem.task}"
            self.funnel.count("ratings", what, problem.title, text)
        kept = [problem for i, problem in enumerate(found) if i in best]
        return sorted(kept, key=lambda problem: stages.shots_of(problem.function))

    def _solutions(self, works: Sequence[Work], plans: Sequence[Sequence[Sample]]) -> list[Work]:
        """Stage 5 (stage 3 made the plans): n samples a problem, spread evenly over its skeletons.

        The bare stubs of all problems come first. A problem no two of whose first samples behave alike is given up
        there: one in ten of them would still reach a consensus, mostly a wrong one (docs/log.md).
        """
        shares = [
            stages.shared_out(stages.skeletons(work.problem, found), self.profile.solutions)
            for work, found in zip(works, plans, strict=True)
        ]

        def begin(item: tuple[Work, list[tuple[str, int]]]) -> Work:
            work, asked = item
            return self._solve(work, asked[:1])

        def go_on(item: tuple[Work, list[tuple[str, int]]]) -> Work:
            work, asked = item
            return self._solve(work, asked[1:]) if self._examine(work)["alike"] > 1 else work

        begun = self._each("solutions", list(zip(works, shares, strict=True)), begin)
        if self.profile.skeletons == 1:
            return begun
        return self._each("solutions, planned", list(zip(begun, shares, strict=True)), go_on)

    def _solve(self, work: Work, asked: Sequence[tuple[str, int]]) -> Work:
        """The work with so many more solutions that complete each skeleton."""
        found = list(work.solutions)
        for skeleton, n in asked:
            ask = stages.ask_solutions(skeleton, n, self.profile, self.sampler.chat)
            samples = self._ask("solutions", ask, end_of_answer(work.problem.function))
            found += stages.read_solutions(work.problem, samples)
        return replace(work, solutions=tuple(found))

    def _answers(self, work: Work, examined: dict[str, Any], adapted: Sampler, number: int) -> list[Solution]:
        """The adapter's solutions of one problem, asked for as people will ask.

        None where there is no value to show, or where no two solutions of the base behave alike.
        """
        if not examined["claims"] or examined["alike"] < 2:
            return []
        draw = Draw(
            -(-self.profile.solutions // 2), ANSWER_TOKENS, self.profile.solution_temperature,
            self.profile.seed + number,
        )  # fmt: skip
        end = end_of_answer(work.problem.function)
        answers = [
            sample
            for prompt in dataset.served_prompts(work.problem, examined["claims"][0], adapted.chat)
            for sample in self._sample("solutions", Prompt(prompt), draw, end, adapted)
        ]
        return [Solution(extract_function(a.text, work.problem.function), a.mean_logprob) for a in answers]

    def _select(self, suffix: str) -> tuple[list[Selected], list[Control]]:
        """Stage 6 for all problems."""
        for work in self.work:
            for solution in work.solutions:
                what = "programs" if solution.source else "samples without a complete function"
                self.funnel.count(f"solutions{suffix}", what, work.problem.title, solution.source or "")
        examined = self._each(f"selection{suffix}", self.work, self._examine)
        return self._sort_out(f"selection{suffix}", examined)

    def _examine(self, work: Work) -> dict[str, Any]:
        """Stage 6 for one problem, as plain data: a shard, so that what ran once is not run again."""
        problem, solutions = work.problem, work.solutions
        rule = RULES[DEFAULT_RULE]

        def make() -> dict[str, Any]:
            inputs = selection.probes_for(problem, work.tests, self.profile)
            election = selection.hold_election(solutions, inputs, self.sandbox, rule)
            decision, results = election.decision, election.results or (None,) * len(solutions)
            found = selection.select(problem, solutions, election, inputs, self.profile)
            own = [selection.asserts_of(inputs, r)[:1] if r is not None else () for r in results]
            won = results[decision.winner] if decision.winner is not None else None
            claims = selection.asserts_of(inputs, won, results) if won is not None else ()
            outcome = asdict(found)
            del outcome["problem"]
            alike = sum(len(c.members) for c in decision.clusters if decision.winner in c.members)
            return {
                "outcome": outcome, "own_asserts": own, "claims": claims, "alike": alike
            }  # fmt: skip

        parts = [
            EXAMINED, rule.name, asdict(problem), work.tests, [asdict(s) for s in solutions], self.profile.to_json()
        ]  # fmt: skip
        made: dict[str, Any] = self.store.get_or_make("selection", parts, make)
        made["control"] = [
            Control(problem, s.source, tuple(own))
            for s, own in zip(solutions, made["own_asserts"], strict=True)
            if s.source is not None and own
        ]
        return made

    def _sort_out(
        self, stage: str, examined: Sequence[dict[str, Any]]
    ) -> tuple[list[Selected], list[Control]]:
        selected: list[Selected] = []
        seen: set[str] = set()
        for work, made in zip(self.work, examined, strict=True):
            problem, outcome = work.problem, made["outcome"]
            if "reason" in outcome:
                dropped = Dropped(problem, outcome["reason"])
                self.funnel.count(stage, dropped.reason, problem.title, f"{problem.task}\n\n{problem.stub}")
                continue
            found = Selected(
                problem, tuple(outcome["sources"]), tuple(outcome["asserts"]), outcome["confidence"],
                outcome["cluster"], outcome["n"], outcome["clusters"],
            )  # fmt: skip
            body = selection.normalised_body(found.sources[0])
            if body in seen:
                what = "solved by a program of another problem"
                self.funnel.count(stage, what, problem.title, found.sources[0])
                continue
            seen.add(body)
            selected.append(found)
            text = f"{found.cluster} of {found.n} alike\n\n{found.sources[0]}\n{found.asserts[0]}"
            self.funnel.count(stage, "selected", problem.title, text)
        return selected, [control for made in examined for control in made["control"]]

    # --- the gate --------------------------------------------------------------------------------------------

    def gate(self, held: Sequence[Selected], adapted: Sampler) -> Verdict:
        """Compare the adapter with its base on the held-out problems, both as they are served."""

        draw = Draw(-(-self.profile.gate_samples // 2), ANSWER_TOKENS, 0.8, self.profile.seed)

        def share(sampler: Sampler, item: Selected) -> float:
            end = end_of_answer(item.problem.function)
            answers = [
                sample.text
                for prompt in dataset.served_prompts(item.problem, item.asserts[0], sampler.chat)
                for sample in self._sample("gate", Prompt(prompt), draw, end, sampler)
            ]
            return share_right(item, self.inputs(item.problem), answers, self.sandbox)

        base = self._each("gate, base", held, lambda item: share(self.sampler, item))
        return compare(base, self._each("gate, adapter", held, lambda item: share(adapted, item)))

    # --- work, once ------------------------------------------------------------------------------------------

    def _each(self, stage: str, items: Sequence[Any] | range, work: Callable[[Any], T]) -> list[T]:
        found = []
        what = {"tasks": "openings", "problems": "tasks"}.get(stage, "problems")
        with self.teller.stage(stage, len(items), what) as step:
            for one in in_parallel(work, items, len(self.sampler.engines)):
                found.append(one)
                step(len(found), "")
        return found

    def _ask(
        self, stage: str, ask: stages.Ask, stop_when: Callable[[str], int | None] | None = None
    ) -> list[Sample]:
        return self._sample(stage, ask.prompt, ask.draw, stop_when)

    def _sample(
        self, stage: str, prompt: Prompt, draw: Draw, stop_when: Callable[[str], int | None] | None = None,
        sampler: Sampler | None = None,
    ) -> list[Sample]:  # fmt: skip
        if draw.n < 1:
            return []
        return (sampler or self.sampler).sample_once(self.store, stage, prompt, draw, stop_when)


def shown_value(examined: Mapping[str, Any], *, selected: bool) -> str | None:
    """The assert that a problem is asked with: what the selected solution gives, as stage 6 found.

    The control arm must learn nothing from the selection: there it is what the first sample gives that gives anything.
    """
    if selected:
        return next(iter(examined["claims"]), None)
    return next((own[0] for own in examined["own_asserts"] if own), None)
