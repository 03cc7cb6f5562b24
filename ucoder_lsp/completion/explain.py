"""The explanation of a completion, as plain data.

The editor's explanation view, `ucoder demo` and the tests read the same object (`to_json` is the wire form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.consensus.election import Election
from sandbox.outcome import JobResult, Outcome
from sandbox.program import probe_text
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.document_slice import Tier
from ucoder_lsp.completion.insertable import DroppedSample, Insertable
from ucoder_lsp.engine.types import Generation

MAX_SHOWN_CHARS = 120
"""The most characters of one value or probe input in an explanation."""


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One distinct candidate text and the tier that it reached."""

    text: str
    count: int
    """How many of the K samples wrote this text."""
    mean_logprob: float
    status: str
    """The tier it reached (`completion.document_slice.Tier`), or why it was dropped."""
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Candidates that behaved alike on every probe input."""

    members: tuple[int, ...]
    """Indices into `Explanation.candidates`."""
    share: float
    """Part of the K samples in this cluster, in [0, 1]."""
    behaviour: tuple[str, ...]
    """The cluster's outcome on each probe input, as readable text."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each step; `total_ms` is what the user waited."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    inputs_ms: float = 0.0
    """Making the probe inputs, while the model decodes: not part of the sum."""
    execution_ms: float = 0.0
    consensus_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """One request, explained."""

    line: int
    character: int
    shape: str
    function: str | None
    text: str
    """The ghost text; empty when nothing is offered."""
    decided_by: str
    """How the text was chosen.

    `consensus`; `guess` (the best by consensus, but too little speaks for it); `fluency` (consensus abstained or had
    nothing to run); or `nothing`.
    """
    reason: str
    confidence: float
    tier: str
    model: str
    adapter: str | None
    candidates: tuple[CandidateReport, ...] = ()
    probes: tuple[str, ...] = ()
    clusters: tuple[ClusterReport, ...] = ()
    winner: int | None = None
    """Index into `candidates`."""
    sandbox_tier: int | None = None
    """Isolation tier that the candidates ran under; None when nothing ran."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cached: bool = False
    """True when the whole completion came from the cache (nothing was decoded or run for this request)."""
    timings: Timings = field(default_factory=Timings)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, in the protocol's camelCase."""
        return {_key(name): _camel(getattr(self, name)) for name in self.__dataclass_fields__}


def _camel(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_camel(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {_key(name): _camel(getattr(value, name)) for name in value.__dataclass_fields__}
    return round(value, 4) if isinstance(value, float) else value


def _key(name: str) -> str:
    if name.endswith("_ms"):
        return name  # units stay readable: prefill_ms
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def explain(
    context: CompletionContext,
    generation: Generation,
    insertable: Insertable,
    dropped: Sequence[DroppedSample],
    election: Election,
) -> Explanation:
    """Put samples, behaviour and decision together.

    The caller adds position, model and timings.
    """
    tiers = [_tier(insertable, election, ballot) for ballot in range(len(insertable.drawn))]
    chosen = election.chosen
    decided_by, reason = _decided_by(election, tiers)
    winner = None if chosen is None else insertable.drawn[chosen][0]
    return Explanation(
        line=0,
        character=0,
        shape=context.shape.value,
        function=context.function,
        text="" if winner is None else insertable.texts[winner].text,
        decided_by=decided_by,
        reason=reason,
        confidence=election.decision.confidence,
        tier="" if chosen is None else tiers[chosen].value,
        model="",
        adapter=generation.adapter,
        candidates=(*_candidate_reports(insertable, election, tiers), *map(_dropped_report, dropped)),
        probes=tuple(_short(probe_text(probe)) for probe in election.probes),
        clusters=_cluster_reports(insertable, election),
        winner=winner,
        sandbox_tier=next((result.tier for result in election.results if result is not None), None),
        prompt_tokens=generation.n_prompt_tokens,
        cached_tokens=generation.n_cached_tokens,
    )


def _decided_by(election: Election, tiers: Sequence[Tier]) -> tuple[str, str]:
    """Return how the text was chosen (`Explanation.decided_by`), and the reason."""
    decision = election.decision
    if election.by_consensus:
        return "consensus", decision.reason
    abstained = decision.reason.rstrip(".")
    if election.chosen is None:
        return "nothing", f"Nothing is offered: {abstained}."
    if decision.guess is not None:
        return "guess", f"{abstained}."
    return "fluency", (
        f"Consensus abstained: {abstained}. Chosen instead: the most fluent candidate "
        f"of those that came furthest ({tiers[election.chosen].value})."
    )


def _tier(insertable: Insertable, election: Election, ballot: int) -> Tier:
    """Return the tier of a sample, from static checks and behaviour."""
    if election.by_consensus and ballot in election.decision.clusters[0].members:
        return Tier.AGREES
    if election.ran(ballot):
        return Tier.RUNS
    return insertable.texts[insertable.drawn[ballot][0]].runnable.tier


def _candidate_reports(
    insertable: Insertable, election: Election, tiers: Sequence[Tier]
) -> list[CandidateReport]:
    """Make one report per distinct text.

    Its tier and cluster are those of its first sample.
    """
    samples_of: dict[int, list[int]] = {}
    for ballot, (text, _) in enumerate(insertable.drawn):
        samples_of.setdefault(text, []).append(ballot)
    cluster_of = {
        ballot: number
        for number, cluster in enumerate(election.decision.clusters)
        for ballot in cluster.members
    }
    return [
        CandidateReport(
            insertable.texts[text].text,
            len(samples),
            insertable.drawn[samples[0]][1],
            tiers[samples[0]].value,
            cluster_of.get(samples[0]),
        )
        for text, samples in samples_of.items()
    ]


def _dropped_report(dropped: DroppedSample) -> CandidateReport:
    candidate = dropped.candidate
    return CandidateReport(candidate.text, 1, candidate.mean_logprob, f"dropped: {dropped.reason}")


def _cluster_reports(insertable: Insertable, election: Election) -> tuple[ClusterReport, ...]:
    return tuple(
        ClusterReport(
            members=tuple(dict.fromkeys(insertable.drawn[ballot][0] for ballot in cluster.members)),
            share=cluster.share,
            behaviour=_behaviour(election.results[cluster.members[0]]),
        )
        for cluster in election.decision.clusters
    )


def _behaviour(result: JobResult | None) -> tuple[str, ...]:
    return () if result is None else tuple(_short(outcome_text(outcome)) for outcome in result.outcomes)


def outcome_text(outcome: Outcome) -> str:
    """Return one outcome as one line: the value or the failure."""
    if outcome.value is not None:
        return outcome.value.text()
    return outcome.exception or outcome.status.value


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
