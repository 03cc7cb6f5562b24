"""Define the evidence, the decision and the interface of a rule.

Programs that are right behave alike; programs that are wrong differ from one another. A rule receives the behaviour of
every candidate on the same probes. It returns clusters and a winner with a confidence, or an abstention with its
reason. Rules are pure: no I/O, no model, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sandbox.outcome import Outcome
from sandbox.program import Vote


@dataclass(frozen=True, slots=True)
class Evidence:
    """The input of a rule; its shapes are checked.

    `outcomes[i][j]` is the outcome of candidate i on probe j.
    """

    outcomes: tuple[tuple[Outcome, ...], ...]
    sources: tuple[str, ...]
    """Source text of each candidate, so that near-duplicates need not count as independent votes."""
    log_probabilities: tuple[float, ...]
    """Mean log-probability of a candidate's tokens (natural log; perplexity is exp of its negative)."""
    asserts: tuple[Vote, ...] = ()
    """Weak votes: expected values from generated tests, about a third of them right."""
    constraints: tuple[Vote, ...] = ()
    """Hard constraints: examples in the docstring, which the author vouches for."""

    def __post_init__(self) -> None:
        n = len(self.outcomes)
        if not len(self.sources) == len(self.log_probabilities) == n:
            raise ValueError("outcomes, sources and log_probabilities must have one entry for each candidate")
        if len({len(row) for row in self.outcomes}) > 1:
            raise ValueError("every candidate needs an outcome for every probe")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Candidates with the same behaviour signature, best representative first."""

    members: tuple[int, ...]
    score: float
    """The rule's own score: comparable within one decision only."""
    share: float
    """Part of all candidates that are in this cluster, in [0, 1]: the consensus strength."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The output of a rule: a winner, or an abstention."""

    rule: str
    clusters: tuple[Cluster, ...]
    """Best first. Candidates that crashed everywhere or gave only opaque values are in none."""
    winner: int | None
    """Index of the chosen candidate; None exactly when the rule abstains."""
    confidence: float
    """Calibrated estimate, in [0, 1], that the winner or the guess is right; 0 without either."""
    reason: str
    """One sentence for the user: the reason for this winner, or for none."""
    guess: int | None = None
    """Index of the best candidate where the rule abstains only because too little speaks for it."""

    @property
    def best(self) -> int | None:
        """The winner, else the guess."""
        return self.guess if self.winner is None else self.winner


class Rule(Protocol):
    """A consensus rule.

    It never raises: not without candidates, on crashes, NaN or contradictory votes.
    """

    @property
    def name(self) -> str: ...

    def decide(self, evidence: Evidence) -> Decision: ...
