"""Which prompt prefixes the KV cache holds: pure bookkeeping over a few sequences.

Editors send almost the same prompt again and again, and change between files; the trainer sends one chat
prefix with many problems. So several recent prompts are kept, each in its own sequence, and a new prompt
starts from the one with which it shares the longest prefix. Sequences share the cells of a common prefix.

The plan is data; `runner` carries it out. Entries belong to one model and one adapter: `clear` is called
whenever the adapter changes, because keys computed under another adapter give other logits without any error.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefillPlan:
    """How to bring a prompt into the cache."""

    sequence: int
    """The sequence that will hold the prompt."""
    source: int | None
    """Copy the first n_shared cells from this sequence first; None when `sequence` has them itself."""
    n_shared: int
    """Tokens that need no computing."""
    evicted: tuple[int, ...]
    """Sequences to drop before, to make room."""


@dataclass(slots=True)
class _CachedPrefix:
    tokens: tuple[int, ...]
    used: int


class PrefixCache:
    """Recent prompts by sequence id, least recently used first to go."""

    def __init__(self, n_sequences: int) -> None:
        self._n_sequences = n_sequences
        self._entries: dict[int, _CachedPrefix] = {}
        self._clock = 0

    def plan(self, prompt: tuple[int, ...], n_cells_free_after: int) -> PrefillPlan:
        """Decide where the prompt goes and what it can start from.

        Args:
            n_cells_free_after: cells that all kept prompts together may fill, this one included.
        """
        best, n_best = None, 0
        for sequence, entry in self._entries.items():
            n = common_prefix(entry.tokens, prompt)
            if n > n_best:
                best, n_best = sequence, n
        # The last token is always computed: its logits start the candidates.
        n_shared = min(n_best, len(prompt) - 1)
        # A prompt that nearly contains the old one replaces it (typing on); else the old one is worth
        # keeping.
        if best is not None and 2 * n_best >= len(self._entries[best].tokens):
            target, source = best, None
        else:
            target = self._free_or_oldest(keep=best)
            source = best if target != best and n_shared > 0 else None
            n_shared = n_shared if source is not None or target == best else 0
        evicted = self._evict(prompt, target, source, n_cells_free_after)
        return PrefillPlan(target, source, n_shared, evicted)

    def store(self, sequence: int, tokens: tuple[int, ...]) -> None:
        """The sequence now holds exactly these tokens."""
        self._clock += 1
        self._entries[sequence] = _CachedPrefix(tokens, self._clock)

    def forget(self, sequence: int) -> None:
        """The sequence holds nothing any more."""
        self._entries.pop(sequence, None)

    def clear(self) -> None:
        """Nothing is held any more (another adapter, or a failed decode)."""
        self._entries.clear()

    def _free_or_oldest(self, keep: int | None) -> int:
        for sequence in range(self._n_sequences):
            if sequence not in self._entries:
                return sequence
        others = [s for s in self._entries if s != keep] or list(self._entries)
        return min(others, key=lambda s: self._entries[s].used)

    def _evict(
        self, prompt: tuple[int, ...], target: int, source: int | None, n_cells: int
    ) -> tuple[int, ...]:
        """Drop the oldest others until the kept prompts fit; shared cells count twice, which is safe."""
        others = sorted(
            (s for s in self._entries if s != target), key=lambda s: (s == source, self._entries[s].used)
        )
        filled = len(prompt) + sum(len(self._entries[s].tokens) for s in others)
        evicted = []
        for sequence in others:
            if filled <= n_cells:
                break
            filled -= len(self._entries[sequence].tokens)
            evicted.append(sequence)
        for sequence in evicted:
            self.forget(sequence)
        return tuple(evicted)


def common_prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    low, high = 0, n  # a[:low] is common, a[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low
