"""The samples that may be inserted at the cursor, equal texts collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.consensus.election import Ballot
from ucoder_lsp.completion import filters
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.document_slice import Runnable, Tier, parses_without_cursor_line, prepare
from ucoder_lsp.completion.prompt import AssembledPrompt
from ucoder_lsp.engine.types import Candidate, Finish

CANCELLED = "cancelled by early stopping"
"""Drop reason of a candidate that was stopped before it ended: its text is unfinished."""
UNFINISHED = "not finished"
"""Drop reason of a candidate that ran into the token limit or the deadline, while others ended."""
CUT_OFF = (Finish.LENGTH, Finish.DEADLINE)


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
    finished: bool = True
    """False where no sample ended: the texts are cut back to whole statements, and prove nothing."""

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
    candidates: Sequence[Candidate], context: CompletionContext, prompt: AssembledPrompt
) -> tuple[Insertable, list[DroppedSample]]:
    """Split the samples of one request into insertable and dropped ones.

    Samples that were cut off are left out where another one ended. Where none ended, they are cut back to their last
    whole statement.
    """
    samples = _Samples(context, prompt)
    kept: list[tuple[str, float]] = []
    cut_off: list[Candidate] = []
    dropped: list[DroppedSample] = []

    def keep(candidate: Candidate, text: str | None, reason: str) -> None:
        if text is None:
            dropped.append(DroppedSample(candidate, reason))
        else:
            kept.append((text, candidate.mean_logprob))

    for candidate in candidates:
        if candidate.finish is Finish.CANCELLED:
            dropped.append(DroppedSample(candidate, CANCELLED))
        elif candidate.finish in CUT_OFF:
            cut_off.append(candidate)
        else:
            keep(candidate, *samples.read(candidate.text))
    finished = bool(kept) or not cut_off
    for candidate in cut_off:
        keep(candidate, None if finished else samples.whole_statements(candidate.text), UNFINISHED)
    texts = list(dict.fromkeys(text for text, _ in kept))
    position = {text: at for at, text in enumerate(texts)}
    return Insertable(
        tuple(DistinctText(text, samples.runnable(text)) for text in texts),
        tuple((position[text], log_probability) for text, log_probability in kept),
        finished,
    ), dropped


class _Samples:
    """Reads the samples of one request; equal texts are put into the document once."""

    def __init__(self, context: CompletionContext, prompt: AssembledPrompt) -> None:
        self._context = context
        self._prompt = prompt
        self._must_parse = not context.prose and parses_without_cursor_line(context)
        self._known: dict[str, Runnable] = {}

    def runnable(self, text: str) -> Runnable:
        if text not in self._known:
            self._known[text] = prepare(text, self._context)
        return self._known[text]

    def read(self, raw: str) -> tuple[str | None, str]:
        """Return the text to insert for a sample, or None and the reason."""
        text = filters.insertion(raw, self._context, self._prompt)
        if text is None:
            return None, "does not fit here"
        if self._must_parse and self.runnable(text).tier is Tier.BROKEN:
            return None, Tier.BROKEN.value
        return text, ""

    def whole_statements(self, raw: str) -> str | None:
        """Return a cut-off sample without its unfinished end; None where nothing is left.

        Its last line may end anywhere, also where it happens to parse.
        """
        lines = raw.split("\n")
        while len(lines) > 1:
            lines.pop()
            text, _ = self.read("\n".join(lines) + "\n")
            if text is not None:
                return text
        return None
