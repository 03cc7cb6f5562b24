"""Why this completion: everything a person may ask about one request, as plain data.

The editor's explanation view, `ucoder demo` and the tests read the same object (`to_json` is the wire form).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One distinct candidate text and how far it came."""

    text: str
    count: int
    """How many of the K samples wrote this text."""
    mean_logprob: float
    status: str
    """The tier it reached (`completion.behaviour.Tier`), or why it was dropped."""
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Candidates that behaved alike on every probe."""

    members: tuple[int, ...]
    """Indices into `Explanation.candidates`."""
    share: float
    """Part of the K samples in this cluster, in [0, 1]."""
    behaviour: tuple[str, ...]
    """What the cluster did on each probe, as text for a person."""


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
    """`consensus`, `fluency` (consensus abstained or had nothing to run), or `nothing`."""
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
        """JSON-ready, in the protocol's camelCase."""
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
