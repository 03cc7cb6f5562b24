"""The election: deduplicate programs, run them, decide, fall back.

Results are mapped back to the samples before a rule decides. A completion, stage 6 of training, the acceptance of an
adapter, `ucoder eval` and the replay of recorded samples all choose through this module. So each of them
measures exactly what the others do. Inputs, limits, the rule, and whether the caller waits on a thread or in asyncio
are parameters.

Not covered here: making the inputs (`sandbox.inputs`), reading programs out of answers, and what a rule decides
(`sandbox.consensus.rules`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sandbox.consensus.doubt import why_doubted
from sandbox.consensus.types import Decision, Evidence, Rule
from sandbox.inputs import ProbeSet
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Job, Probe, Program

NO_PROGRAM = Outcome(Status.EXCEPTION, exception="SyntaxError")
"""The outcome, on every probe, of a sample that holds no program: it counts as a candidate that crashed."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One sample in an election.

    Equal samples have one ballot each, because every sample is a vote.
    """

    program: str | None
    """The source that runs; None or empty for a sample that holds no program."""
    log_probability: float = 0.0
    """Mean log-probability of the sample's tokens (natural log)."""
    source: str | None = None
    """Text that is compared to find near-duplicates; None: the program itself."""
    progress: int = 0
    """The rank of the sample before anything runs, for the fallback; higher is better."""
    shown: str | None = None
    """Text that a person would see, whose frequency the fallback counts; None: that of `text`."""

    @property
    def text(self) -> str:
        return (self.program or "") if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class Election:
    """The decision, and the result of every ballot's program."""

    decision: Decision
    chosen: int | None
    """Index of the chosen ballot: the rule's winner, else that of the fallback; None without ballots."""
    results: tuple[JobResult | None, ...] = ()
    """One per ballot; None for a ballot without a program. Empty where nothing ran."""
    probes: tuple[Probe, ...] = ()
    execution_s: float = 0.0
    decision_s: float = 0.0

    @property
    def by_consensus(self) -> bool:
        """Whether the rule chose; False when it abstained and the fallback chose."""
        return self.decision.winner is not None

    def ran(self, index: int) -> bool:
        """Return True if that ballot's program gave a value on any probe."""
        return _ran(self.results[index]) if self.results else False


def elect(
    ballots: Sequence[Ballot], inputs: ProbeSet, *, sandbox: Sandbox, rule: Rule, limits: Limits
) -> Election:
    """Run every distinct program on `inputs` and decide.

    Raises:
        SandboxError: nothing can run.
    """
    if reason := _why_not_run(ballots, inputs):
        return without_running(ballots, reason)
    started = time.perf_counter()
    results = run_all([ballot.program for ballot in ballots], inputs.probes, sandbox=sandbox, limits=limits)
    return count(ballots, results, inputs, rule=rule, execution_s=time.perf_counter() - started)


async def elect_async(
    ballots: Sequence[Ballot], inputs: ProbeSet, *, sandbox: Sandbox, rule: Rule, limits: Limits
) -> Election:
    """Run `elect` in asyncio; cancelling it ends the running programs."""
    if reason := _why_not_run(ballots, inputs):
        return without_running(ballots, reason)
    started = time.perf_counter()
    programs = [ballot.program for ballot in ballots]
    unique = distinct(programs)
    found = await sandbox.arun([Job(Program(source), inputs.probes, limits) for source in unique])
    results = _mapped_back(programs, unique, found)
    return count(ballots, results, inputs, rule=rule, execution_s=time.perf_counter() - started)


def without_running(ballots: Sequence[Ballot], reason: str) -> Election:
    """Abstain for `reason` without running anything; the fallback chooses."""
    decision = Decision(rule="none", clusters=(), winner=None, confidence=0.0, reason=reason)
    return Election(decision, _fallback(ballots, [None] * len(ballots)))


def count(
    ballots: Sequence[Ballot],
    results: Sequence[JobResult | None],
    inputs: ProbeSet,
    *,
    rule: Rule,
    execution_s: float = 0.0,
) -> Election:
    """Decide over the results of `run_all`; `execution_s` is passed through."""
    started = time.perf_counter()
    decision = rule.decide(evidence(ballots, outcomes_of(results, len(inputs.probes)), inputs))
    doubt, running_counts = why_doubted(decision, results, inputs)
    if doubt:
        decision = replace(decision, winner=None, guess=None, confidence=0.0, reason=doubt)
    best = decision.best
    chosen = (
        best if best is not None else _fallback(ballots, results if running_counts else [None] * len(ballots))
    )
    decision_s = time.perf_counter() - started
    return Election(decision, chosen, tuple(results), inputs.probes, execution_s, decision_s)


def distinct(programs: Iterable[str | None]) -> list[str]:
    """Return every program once, in order of first appearance.

    Samples without a program are left out.
    """
    return list(dict.fromkeys(program for program in programs if program))


def run_all(
    programs: Sequence[str | None], probes: Sequence[Probe], *, sandbox: Sandbox, limits: Limits
) -> list[JobResult | None]:
    """Run equal programs once and return one result per sample.

    The result is None for a sample without a program.
    """
    unique = distinct(programs)
    found = sandbox.run([Job(Program(source), tuple(probes), limits) for source in unique])
    return _mapped_back(programs, unique, found)


def outcomes_of(results: Sequence[JobResult | None], n_probes: int) -> list[tuple[Outcome, ...]]:
    """Return one row of `n_probes` outcomes per result."""
    return [(NO_PROGRAM,) * n_probes if result is None else result.outcomes for result in results]


def evidence(
    ballots: Sequence[Ballot], outcomes: Sequence[tuple[Outcome, ...]], inputs: ProbeSet
) -> Evidence:
    """Collect the input of a rule, with one row per ballot."""
    return Evidence(
        outcomes=tuple(outcomes),
        sources=tuple(ballot.text for ballot in ballots),
        log_probabilities=tuple(ballot.log_probability for ballot in ballots),
        asserts=inputs.asserts,
        constraints=inputs.constraints,
    )


def _why_not_run(ballots: Sequence[Ballot], inputs: ProbeSet) -> str:
    """Return the reason to run nothing, empty where a program can run."""
    if not inputs.probes:
        return inputs.reason or "no inputs could be made for this function"
    if not any(ballot.program for ballot in ballots):
        return "no candidate parses"
    return ""


def _mapped_back(
    programs: Sequence[str | None], unique: Sequence[str], results: Sequence[JobResult]
) -> list[JobResult | None]:
    by_program = dict(zip(unique, results, strict=True))
    return [by_program.get(program) if program else None for program in programs]


def _fallback(ballots: Sequence[Ballot], results: Sequence[JobResult | None]) -> int | None:
    """Choose without consensus.

    A program that ran comes first. After that progress counts, then frequency, then fluency.
    """
    drawn = Counter(_shown(ballot) for ballot in ballots)

    def rank(index: int) -> tuple[bool, int, int, float]:
        ballot, ran = ballots[index], _ran(results[index])
        return ran, 0 if ran else ballot.progress, drawn[_shown(ballot)], ballot.log_probability

    return max(range(len(ballots)), key=rank, default=None)


def _shown(ballot: Ballot) -> str:
    return ballot.text if ballot.shown is None else ballot.shown


def _ran(result: JobResult | None) -> bool:
    return result is not None and any(not outcome.crashed for outcome in result.outcomes)
