"""When to stop sampling: as soon as more than half of the K samples are the same text.

Equal texts behave alike, so no other behaviour can get as many samples; decoding the stragglers (they are the long
ones) mostly costs time. Mostly: the default rule weighs more than numbers, copies of a text among it as one, so those
left out can change the choice. On recorded samples they do in a fifth of such cases, and make it right as
often as wrong (`benchmarks/early_stop.py`, docs/log.md). Examples in the docstring can overrule a majority outright, so
where there are some, every sample is waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Majority:
    """Counts texts as samples end. `add` may be called from the engine's thread."""

    def __init__(self, k: int, normalise: Callable[[str], str | None]) -> None:
        """`k` samples in all; `normalise` gives the text that would be inserted, None for one that is dropped."""
        self._k = k
        self._normalise = normalise
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> bool:
        """Count one finished sample; True once more than half of all K are the same text."""
        normal = self._normalise(text)
        if normal is None:
            return False
        self._counts[normal] += 1
        return self._counts[normal] > self._k / 2
