"""Behaviour decides: run the candidates of one request on the same probe inputs and ask a consensus rule.

This is where the completion flow meets the sandbox. What cannot be judged (no function around the cursor, one
that the sandbox cannot call, nothing that resolves) comes back as an abstention with its reason, never as an error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.consensus.types import Decision, Evidence, Rule
from sandbox.errors import SandboxError
from sandbox.inputs import ProbeSet
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Job, Probe, Program, Vote
from ucoder_lsp.completion.document_slice import Runnable

REQUEST_LIMITS = Limits(probe_wall_s=0.25, job_wall_s=1.0, cpu_s=2)
"""A person is waiting: a candidate that needs longer on a small input is of no use here."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What running the candidates showed."""

    decision: Decision
    probes: tuple[Probe, ...] = ()
    results: tuple[JobResult | None, ...] = ()
    """One for each candidate; None for one that did not run."""
    execution_s: float = 0.0
    consensus_s: float = 0.0


def abstain(reason: str) -> Judgement:
    """A judgement that leaves the choice to others."""
    return Judgement(Decision(rule="none", clusters=(), winner=None, confidence=0.0, reason=reason))


async def judge(
    runnables: Sequence[Runnable],
    log_probabilities: Sequence[float],
    *,
    inputs: ProbeSet | None,
    sandbox: Sandbox,
    rule: Rule,
) -> Judgement:
    """Run every candidate on `inputs` (None where there is no function to call), and decide.

    `runnables` has one entry for each of the K samples, equal ones included: each sample is a vote, but equal
    programs run once.
    """
    if inputs is None:
        return abstain("the cursor is not in a function that can be called on its own")
    if not inputs.probes:
        return abstain("no inputs could be made for this function")
    if not any(runnable.source for runnable in runnables):
        return abstain("no candidate parses")

    started = time.perf_counter()
    sources = list(dict.fromkeys(runnable.source for runnable in runnables if runnable.source))
    jobs = [Job(Program(source), inputs.probes, REQUEST_LIMITS) for source in sources]
    try:
        by_source = dict(zip(sources, await sandbox.arun(jobs), strict=True))
    except SandboxError as error:
        return abstain(f"nothing could be run: {error}")
    results = tuple(by_source.get(runnable.source) for runnable in runnables)
    execution_s = time.perf_counter() - started

    started = time.perf_counter()
    evidence = _evidence(runnables, results, log_probabilities, len(inputs.probes), inputs.constraints)
    decision = rule.decide(evidence)
    return Judgement(decision, inputs.probes, results, execution_s, time.perf_counter() - started)


def _evidence(
    runnables: Sequence[Runnable],
    results: Sequence[JobResult | None],
    log_probabilities: Sequence[float],
    n_probes: int,
    constraints: tuple[Vote, ...],
) -> Evidence:
    unparsed = (Outcome(Status.EXCEPTION, exception="SyntaxError"),) * n_probes
    return Evidence(
        outcomes=tuple(unparsed if result is None else result.outcomes for result in results),
        sources=tuple(runnable.function for runnable in runnables),
        log_probabilities=tuple(log_probabilities),
        constraints=constraints,
    )
