"""The samples that may be inserted at the cursor, equal texts collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.consensus.election import Ballot
from ucoder_lsp.completion import filters
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.document_slice import Runnable, Tier, parses_without_cursor_line, prepare
from ucoder_lsp.engine.types import Candidate, Finish

CANCELLED = "cancelled by early stopping"
"""Drop reason of a candidate that was stopped before it ended: its text is unfinished."""


@dataclass(frozen=True, slots=True)
class DistinctText:
    """One text that may be inserted, in its document."""

    text: str
    runnable: Runnable


@dataclass(frozen=True, slots=True)
class Insertable:
    """Distinct texts in drawn order, and the samples that drew them."""

    texts: tuple[DistinctText, ...]
    drawn: tuple[tuple[int, float], ...]
    """One pair per sample, in sampled order: index into `texts`, and the sample's mean log-probability."""

    def ballots(self) -> list[Ballot]:
        """Return one ballot per sample, in the order of `drawn`."""
        return [
            Ballot(
                program=self.texts[at].runnable.source,
                log_probability=log_probability,
                source=self.texts[at].runnable.function,
                progress=self.texts[at].runnable.tier.rank,
                shown=self.texts[at].text,
            )
            for at, log_probability in self.drawn
        ]


@dataclass(frozen=True, slots=True)
class DroppedSample:
    """A sample that may not be inserted, and why."""

    candidate: Candidate
    reason: str


def insertable_texts(
    candidates: Sequence[Candidate], context: CompletionContext
) -> tuple[Insertable, list[DroppedSample]]:
    """Split the samples of one request into insertable and dropped ones."""
    texts: dict[str, Runnable] = {}
    drawn: list[tuple[str, float]] = []
    dropped: list[DroppedSample] = []
    must_parse = parses_without_cursor_line(context)
    for candidate in candidates:
        if candidate.finish is Finish.CANCELLED:
            dropped.append(DroppedSample(candidate, CANCELLED))
            continue
        text = filters.insertion(candidate.text, context)
        if text is None:
            dropped.append(DroppedSample(candidate, "does not fit here"))
            continue
        if text not in texts:
            texts[text] = prepare(text, context)
        if must_parse and texts[text].tier is Tier.BROKEN:
            dropped.append(DroppedSample(candidate, Tier.BROKEN.value))
        else:
            drawn.append((text, candidate.mean_logprob))
    kept = list(dict.fromkeys(text for text, _ in drawn))
    position = {text: at for at, text in enumerate(kept)}
    return Insertable(
        tuple(DistinctText(text, texts[text]) for text in kept),
        tuple((position[text], log_probability) for text, log_probability in drawn),
    ), dropped
