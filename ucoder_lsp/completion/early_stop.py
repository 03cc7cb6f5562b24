"""Early stopping: end decoding once most samples are the same text.

Decoding ends at more than half of the K samples. Equal texts behave alike, so no other behaviour can get as many
samples, and the samples that are still decoded are the long ones. The choice can still change: the default rule weighs
more than numbers, and counts copies of a text once. On recorded samples it changes in a fifth of such cases, and
becomes right as often as wrong (`benchmarks/early_stop.py`, `docs/experiments/2026-11-21-early-stopping.md`). Docstring
examples can overrule a majority, so with examples every sample is awaited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Majority:
    """A count of equal texts.

    `add` may be called from the engine's thread.
    """

    def __init__(self, k: int, normalise: Callable[[str], str | None]) -> None:
        """Expect `k` samples.

        `normalise` returns the text that would be inserted; None for a dropped sample.
        """
        self._k = k
        self._normalise = normalise
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> bool:
        """Count one finished sample; return True at a majority.

        A majority is the same text in more than half of all K samples.
        """
        normal = self._normalise(text)
        if normal is None:
            return False
        self._counts[normal] += 1
        return self._counts[normal] > self._k / 2
