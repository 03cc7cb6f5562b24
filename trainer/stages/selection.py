"""Stage `selection`.

Execution-driven consensus selects a problem's solutions, or drops it (paper, section 2.4).

The sandbox runs every distinct solution on the problem's probe inputs. `sandbox`'s default rule decides what counts as
agreement and which behaviour wins. This module adds what training data needs: a cluster of some size, a behaviour that
varies, and values that can be written down. The drop reasons are the funnel of the report.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.consensus.election import Ballot, Election, count, run_all
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.types import Rule
from sandbox.inputs import ProbeSet
from sandbox.inputs.target import parse_quietly
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, probe_text
from sandbox.values import Value
from trainer.profile import Profile
from trainer.run.store import Stage
from trainer.stages.context import StageContext
from trainer.stages.problems import Problem
from trainer.stages.solutions import Candidates, Solution
from trainer.stages.tests import probes_for

STAGE = Stage("selection", version=3)
LIMITS = Limits(probe_wall_s=1.0, job_wall_s=6.0, cpu_s=6, memory_bytes=512 * MIB)
"""Generous on a busy machine: a time-out that comes and goes would change the data set."""
MAX_ASSERT_CHARS = 160
YES_AND_NO = {Value.of(True), Value.of(False)}
"""All values of a predicate: enough for a behaviour that is not constant."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """The winning behaviour of a problem and its programs."""

    sources: tuple[str, ...]
    """Programs of the winning cluster, best first, all different."""
    asserts: tuple[str, ...]
    """The winning behaviour on single inputs, as Python; the first suits a prompt best."""
    confidence: float
    cluster: int
    """Solutions that behave like the winner."""
    n: int
    """All solutions."""
    clusters: int
    """Distinct behaviours among the solutions: a falling number over iterations is a sign of collapse."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The reason why a problem gives nothing to train on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Examined:
    """The behaviour of the solutions of one problem.

    It is a shard of this stage, so that nothing runs twice.
    """

    outcome: Consensus | Dropped
    own_asserts: tuple[tuple[str, ...], ...]
    """For each solution its most telling assert, or none: what this very program does on one input."""
    claims: tuple[str, ...]
    """What the winner does, as asserts, even where the problem is dropped; the most telling first."""
    alike: int
    """Solutions that behave like the winner, 0 without one."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A problem to train on."""

    problem: Problem
    consensus: Consensus

    @property
    def sources(self) -> tuple[str, ...]:
        """Programs of the winning cluster, best first."""
        return self.consensus.sources

    @property
    def asserts(self) -> tuple[str, ...]:
        """The winning behaviour on single inputs."""
        return self.consensus.asserts


def run(
    context: StageContext, problems: Sequence[Candidates], suffix: str = ""
) -> tuple[list[Selected], list[Examined]]:
    """Select the problems to train on, and return the examination of every problem.

    `suffix` names the round.
    """
    title = f"{STAGE.name}{suffix}"
    examined = context.each(title, problems, lambda candidates: examine(context, candidates))
    selected: list[Selected] = []
    seen: set[str] = set()
    for candidates, found in zip(problems, examined, strict=True):
        problem, outcome = candidates.problem, found.outcome
        if isinstance(outcome, Dropped):
            text = f"{problem.task}\n\n{problem.stub}"
            context.funnel.count(title, outcome.reason, problem.title, text)
            continue
        body = normalised_body(outcome.sources[0])
        if body in seen:
            what = "solved by a program of another problem"
            context.funnel.count(title, what, problem.title, outcome.sources[0])
            continue
        seen.add(body)
        selected.append(Selected(problem, outcome))
        text = f"{outcome.cluster} of {outcome.n} alike\n\n{outcome.sources[0]}\n{outcome.asserts[0]}"
        context.funnel.count(title, "selected", problem.title, text)
    return selected, examined


def examine(context: StageContext, candidates: Candidates) -> Examined:
    """Run the solutions of one problem and decide, or read its shard."""
    rule, profile = RULES[DEFAULT_RULE], context.profile
    solutions = candidates.solutions

    def make() -> Examined:
        inputs = probes_for(candidates.problem, candidates.tests, profile)
        election = hold_election(solutions, inputs, context.sandbox, rule)
        decision, results = election.decision, election.results
        won = results[decision.winner] if decision.winner is not None else None
        return Examined(
            outcome=outcome_of(solutions, election, inputs, profile),
            own_asserts=tuple(
                asserts_of(inputs, result)[:1] if result is not None else () for result in results
            ),
            claims=asserts_of(inputs, won, results) if won is not None else (),
            alike=sum(len(c.members) for c in decision.clusters if decision.winner in c.members),
        )

    made_from = [rule.name, candidates.problem, candidates.tests, solutions, profile]
    return context.store.get_or_make(STAGE, made_from, make, Examined)


def hold_election(solutions: Sequence[Solution], inputs: ProbeSet, sandbox: Sandbox, rule: Rule) -> Election:
    """Run the solutions and let the rule decide, also where no sample holds a program.

    A sample without a program counts as a crashed candidate.
    """
    ballots = [Ballot(solution.source, solution.mean_logprob) for solution in solutions]
    programs = [ballot.program for ballot in ballots]
    results = run_all(programs, inputs.probes, sandbox=sandbox, limits=LIMITS)
    return count(ballots, results, inputs, rule=rule)


def outcome_of(
    solutions: Sequence[Solution], election: Election, inputs: ProbeSet, profile: Profile
) -> Consensus | Dropped:
    """Return what an election gives to train on; its fallback never does."""
    decision, results = election.decision, election.results
    if decision.winner is None:
        return Dropped("no solution could be chosen: " + decision.reason.rstrip(".").lower())
    cluster = next(c for c in decision.clusters if decision.winner in c.members)
    # Later rounds have more of both.
    needed = profile.min_cluster * max(1, len(solutions) // profile.solutions)
    if len(cluster.members) < needed:
        return Dropped("fewer solutions behave alike than a consensus needs")
    if decision.confidence < profile.min_confidence:
        return Dropped("the consensus is too likely to be wrong")
    won = results[decision.winner]
    assert won is not None, "a winner has run"
    values = Counter(o.value for o in won.outcomes if o.status is Status.OK)
    if len(values) < profile.min_outputs and values.keys() != YES_AND_NO:
        return Dropped("the winning behaviour is nearly constant")
    if sum(values.values()) * 2 < len(won.outcomes):
        return Dropped("the winning behaviour crashes on most inputs")
    asserts = asserts_of(inputs, won, results)
    if not asserts:
        return Dropped("no value of the winning behaviour can be written down")
    sources: dict[str, str] = {}
    for member in (decision.winner, *cluster.members):
        source = solutions[member].source
        if source is not None:
            sources.setdefault(normalised(source), source)
    return Consensus(
        tuple(sources.values())[: profile.per_problem],
        asserts,
        round(decision.confidence, 4),
        len(cluster.members),
        len(solutions),
        len(decision.clusters),
    )


def asserts_of(
    inputs: ProbeSet, result: JobResult, others: Sequence[JobResult | None] = ()
) -> tuple[str, ...]:
    """Describe a program's behaviour as asserts of plain data, the most telling first.

    Empty values and arguments given back show little. Of the rest, the most telling input is the one for which most of
    the `others` give another value: it is the best example for people and the hardest test of one more answer.
    """
    found: list[tuple[bool, int, int, str]] = []
    for number, (probe, outcome) in enumerate(zip(inputs.probes, result.outcomes, strict=True)):
        if not isinstance(probe, Call) or outcome.status is not Status.OK or outcome.value is None:
            continue
        value = outcome.value.result.python()
        text = f"assert {probe_text(probe)} == {outcome.value.result.text(MAX_ASSERT_CHARS)}"  # longer is cut
        if len(text) <= MAX_ASSERT_CHARS and parse_quietly(text) is not None and _is_plain(value):
            dull = value in (None, "", [], (), {}, 0, False, *probe.args) or not any(
                _is_telling(a) for a in probe.args
            )
            unlike = sum(_differs(other.outcomes[number], outcome) for other in others if other is not None)
            found.append((dull, -unlike, abs(len(text) - 60), text))
    return tuple(text for *_, text in sorted(found))


def _differs(other: Outcome, outcome: Outcome) -> bool:
    return other.status is Status.OK and other.value != outcome.value


def normalised(source: str) -> str:
    """Return the program without docstrings and with numbered local names.

    The results are equal for trivial rewrites.
    """
    tree = parse_quietly(source)
    if tree is None:
        return source
    names: dict[str, str] = {}
    assigned = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assigned |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _without_docstring(node.body)
        if isinstance(node, ast.Name) and node.id in assigned:
            node.id = names.setdefault(node.id, f"v{len(names)}")
        elif isinstance(node, ast.arg):
            node.arg = names.setdefault(node.arg, f"v{len(names)}")
    return ast.unparse(tree)


def normalised_body(source: str) -> str:
    """Return the normalised body of the program's last function, whatever its signature."""
    tree = parse_quietly(normalised(source))
    functions = [] if tree is None else [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    return "\n".join(ast.unparse(node) for node in functions[-1].body) if functions else source


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text and len(body) > 1 else body


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return value is None or isinstance(value, bool | int | str | bytes)


def _is_telling(argument: object) -> bool:
    return bool(argument) or argument is False
