"""Made-up measurements, for tests that need no speed of this machine."""

from __future__ import annotations

from ucoder_lsp.engine.trial import Trial
from ucoder_lsp.models.measurements import MeasuredKind, Measurement


def trial(seconds: float = 1.0, perplexity: float | None = 4.0, *, gpu: bool = False) -> Trial:
    """Return a trial whose line takes this long: half for the prompt, half for the steps."""
    step_ms = 1000 * seconds / 2 / 12
    return Trial(gpu, 128 / (seconds / 2), step_ms, step_ms, perplexity)


def kind(name: str, seconds: float = 1.0, perplexity: float | None = 4.0) -> MeasuredKind:
    """Return one measured kind."""
    return MeasuredKind(name, 1000, trial(seconds, perplexity))


def record(sha256: str, seconds: float, *, chosen: str = "as-is", complete: bool = True) -> Measurement:
    """Return the record of a model that was measured in one kind."""
    return Measurement(sha256, chosen, (kind(chosen, seconds),), complete)
