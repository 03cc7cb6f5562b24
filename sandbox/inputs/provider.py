"""Hypothesis drawing from one seeded generator, and from nothing else.

Its own backend mixes in constants found in whatever modules happen to be imported, and keeps them in a
`.hypothesis` folder of the working directory: fine for tests, wrong for a server, whose probe inputs must be
the same in every process and which writes nothing outside its own directories. This is a backend through
Hypothesis's documented interface for alternative backends.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random

from hypothesis.errors import HypothesisDeprecationWarning
from hypothesis.internal.conjecture.data import ConjectureData
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider
from hypothesis.internal.intervalsets import IntervalSet

BACKEND = "ucoder-seeded"
_seed: ContextVar[int] = ContextVar("ucoder_probe_seed", default=0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this context, runs on `BACKEND` start from `seed`."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


class SeededProvider(PrimitiveProvider):
    """Uniform draws, small numbers where the range has no bound."""

    lifetime = "test_function"

    def __init__(self, conjecturedata: ConjectureData | None, /) -> None:
        super().__init__(conjecturedata)
        self._random = Random(_seed.get())  # noqa: S311 - inputs, not secrets

    def draw_boolean(self, p: float = 0.5) -> bool:
        return self._random.random() < p

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        if weights:
            return self._random.choices(list(weights), list(weights.values()))[0]
        low = min_value if min_value is not None else (max_value if max_value is not None else 100) - 200
        high = max_value if max_value is not None else low + 200
        return self._random.randint(low, high)

    def draw_float(
        self,
        *,
        min_value: float = -math.inf,
        max_value: float = math.inf,
        allow_nan: bool = True,
        smallest_nonzero_magnitude: float = 5e-324,
    ) -> float:
        return self._random.uniform(max(min_value, -100.0), min(max_value, 100.0))

    def draw_string(self, intervals: IntervalSet, *, min_size: int = 0, max_size: int = 10**10) -> str:
        size = self._random.randint(min_size, min(max_size, min_size + 10))
        return "".join(chr(intervals[self._random.randrange(len(intervals))]) for _ in range(size))

    def draw_bytes(self, min_size: int = 0, max_size: int = 10**10) -> bytes:
        return self._random.randbytes(self._random.randint(min_size, min(max_size, min_size + 10)))


AVAILABLE_PROVIDERS[BACKEND] = SeededProvider
# Hypothesis takes what another thread draws from `random` meanwhile for the strategies' own doing, and tells the user.
warnings.filterwarnings("ignore", "Do not use the `random` module", HypothesisDeprecationWarning)
