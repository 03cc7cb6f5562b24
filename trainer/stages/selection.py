"""Stage 6: execution-driven consensus selects a problem's solutions, or abstains with a reason (paper, section 2.4).

`hold_election` runs every distinct solution on the problem's inputs; `select` is a pure decision over what they did.
The reasons for which nothing is selected are the funnel of the report. What counts as agreement, and who wins, is
`sandbox`'s default rule; what is added here is what training data needs: a cluster of some size, a behaviour that
varies, and values that say something.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.consensus.election import Ballot, Election, elect
from sandbox.consensus.types import Rule
from sandbox.inputs import ProbeSet, propose
from sandbox.inputs.target import parse_quietly
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, probe_text
from sandbox.values import Value
from trainer.profile import Profile
from trainer.stages.problems import Problem
from trainer.stages.solutions import Solution, bare

LIMITS = Limits(probe_wall_s=1.0, job_wall_s=6.0, cpu_s=6, memory_bytes=512 * MIB)
"""Generous towards a busy machine: a time-out that comes and goes would change the data set."""
MAX_ASSERT_CHARS = 160
YES_AND_NO = {Value.of(True), Value.of(False)}
"""All that a test can say: enough for a behaviour that is not constant."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What one problem gives to train on."""

    problem: Problem
    sources: tuple[str, ...]
    """Programs of the winning cluster, best first, all different."""
    asserts: tuple[str, ...]
    """What the winning behaviour says about single inputs, as Python; the first suits a prompt best."""
    confidence: float
    cluster: int
    """Solutions that behave like the winner."""
    n: int
    clusters: int
    """Distinct behaviours among the solutions: their number falling over iterations is a sign of collapse."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A problem that gives nothing, and why."""

    problem: Problem
    reason: str


def probes_for(problem: Problem, tests: Sequence[str], profile: Profile) -> ProbeSet:
    """Inputs for a problem: those of the model's asserts first, completed from the signature's types."""
    return propose(
        bare(problem.stub), problem.function, tests=tests, budget=profile.probes, seed=profile.seed
    )


def hold_election(
    solutions: Sequence[Solution], inputs: ProbeSet, sandbox: Sandbox, rule: Rule, limits: Limits = LIMITS
) -> Election:
    """Run every distinct solution on the inputs and let the rule decide; a sample without a program crashed."""
    ballots = [Ballot(solution.source, solution.mean_logprob) for solution in solutions]
    return elect(ballots, inputs, sandbox=sandbox, rule=rule, limits=limits)


def select(
    problem: Problem,
    solutions: Sequence[Solution],
    election: Election,
    inputs: ProbeSet,
    profile: Profile,
) -> Selected | Dropped:
    """The programs and asserts of a winner to train on, or the reason to drop the problem."""
    decision, results = election.decision, election.results
    if decision.winner is None:
        return Dropped(problem, "no solution could be chosen: " + decision.reason.rstrip(".").lower())
    cluster = next(c for c in decision.clusters if decision.winner in c.members)
    needed = profile.min_cluster * max(
        1, len(solutions) // profile.solutions
    )  # later rounds have more of both
    if len(cluster.members) < needed:
        return Dropped(problem, "fewer solutions behave alike than a consensus needs")
    if decision.confidence < profile.min_confidence:
        return Dropped(problem, "the consensus is too likely to be wrong")
    won = results[decision.winner]
    assert won is not None, "a winner has run"
    values = Counter(o.value for o in won.outcomes if o.status is Status.OK)
    if len(values) < profile.min_outputs and values.keys() != YES_AND_NO:
        return Dropped(problem, "the winning behaviour is nearly constant")
    if sum(values.values()) * 2 < len(won.outcomes):
        return Dropped(problem, "the winning behaviour crashes on most inputs")
    asserts = asserts_of(inputs, won, results)
    if not asserts:
        return Dropped(problem, "no value of the winning behaviour can be written down")
    sources: dict[str, str] = {}
    for member in (decision.winner, *cluster.members):
        source = solutions[member].source
        if source is not None:
            sources.setdefault(normalised(source), source)
    return Selected(
        problem,
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
    """What a program did, as asserts of plain data, the most telling first.

    Empty values, and those that were given, tell little. Of the rest that input tells most for which most of the
    `others` give another value: an example for people, and the hardest test of one more answer.
    """
    found: list[tuple[bool, int, int, str]] = []
    for number, (probe, outcome) in enumerate(zip(inputs.probes, result.outcomes, strict=True)):
        if not isinstance(probe, Call) or outcome.status is not Status.OK or outcome.value is None:
            continue
        value = outcome.value.result.python()
        text = f"assert {probe_text(probe)} == {outcome.value.result.text(MAX_ASSERT_CHARS)}"  # longer is cut
        if len(text) <= MAX_ASSERT_CHARS and parse_quietly(text) is not None and _is_plain(value):
            dull = value in (None, "", [], (), {}, 0, False, *probe.args) or not any(
                _says_something(a) for a in probe.args
            )
            unlike = sum(_differs(other.outcomes[number], outcome) for other in others if other is not None)
            found.append((dull, -unlike, abs(len(text) - 60), text))
    return tuple(text for *_, text in sorted(found))


def _differs(other: Outcome, outcome: Outcome) -> bool:
    return other.status is Status.OK and other.value != outcome.value


def normalised(source: str) -> str:
    """The program without docstrings and with its local names numbered: equal for trivial rewrites."""
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
    """What the program's last function does, whatever its signature and names."""
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


def _says_something(argument: object) -> bool:
    return bool(argument) or argument is False
