"""Decontamination: word runs that no problem may hold.

They keep the benchmarks out of the training data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EXCLUDED = "overlaps an excluded file"
"""Drop reason of tasks and problems."""
N_WORDS = 8
"""Words in a row that count as an overlap."""


def word_shingles(texts: Iterable[str], n: int = N_WORDS) -> frozenset[str]:
    """Return every run of n words of each text.

    Only letters count, since numbers repeat everywhere.
    """
    return frozenset(
        " ".join(words[i : i + n])
        for words in (re.findall(r"[a-z]+", text.lower()) for text in texts)
        for i in range(len(words) - n + 1)
    )


def overlaps(text: str, shingles: frozenset[str], n: int = N_WORDS) -> bool:
    """Whether n words in a row of a text are among `shingles`."""
    return not shingles.isdisjoint(word_shingles([text], n))
