"""The bookkeeping of the prefix cache: the prompt in each sequence.

An editor repeats almost the same prompt and changes between files; the trainer sends one chat prefix with many
problems. So several recent prompts are kept, each in its own sequence. A new prompt starts from the one with which it
shares the longest prefix, and sequences share the cells of a common prefix.

A plan is data; `runner` executes it. Entries belong to one model and one adapter: `clear` is called when the adapter
changes, because keys computed under another adapter give other logits without any error.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefillPlan:
    """The steps that bring a prompt into the cache."""

    sequence: int
    """The sequence that will hold the prompt."""
    source: int | None
    """Copy the first n_shared cells from this sequence first; None when `sequence` has them itself."""
    n_shared: int
    """Tokens that are cached and need no prefill."""
    evicted: tuple[int, ...]
    """Sequences to drop first, to make room."""


@dataclass(slots=True)
class _CachedPrefix:
    tokens: tuple[int, ...]
    used: int


class PrefixCache:
    """Recent prompts by sequence id; the least recently used is evicted first."""

    def __init__(self, n_sequences: int) -> None:
        self._n_sequences = n_sequences
        self._entries: dict[int, _CachedPrefix] = {}
        self._clock = 0

    def plan(self, prompt: tuple[int, ...], n_cells_free_after: int) -> PrefillPlan:
        """Choose the prompt's sequence and the cached prefix that it starts from.

        Args:
            n_cells_free_after: cells that all kept prompts may fill together, this one included.
        """
        best, n_best = None, 0
        for sequence, entry in self._entries.items():
            n = common_prefix(entry.tokens, prompt)
            if n > n_best:
                best, n_best = sequence, n
        # The last token is always computed: the candidates start from its logits.
        n_shared = min(n_best, len(prompt) - 1)
        # A prompt that shares half of the old one replaces it (the user types on); otherwise both are kept.
        if best is not None and 2 * n_best >= len(self._entries[best].tokens):
            target, source = best, None
        else:
            target = self._free_or_oldest(keep=best)
            source = best if target != best and n_shared > 0 else None
            n_shared = n_shared if source is not None or target == best else 0
        evicted = self._evict(prompt, target, source, n_cells_free_after)
        return PrefillPlan(target, source, n_shared, evicted)

    def store(self, sequence: int, tokens: tuple[int, ...]) -> None:
        """Record that the sequence holds exactly these tokens."""
        self._clock += 1
        self._entries[sequence] = _CachedPrefix(tokens, self._clock)

    def forget(self, sequence: int) -> None:
        """Record that the sequence is empty."""
        self._entries.pop(sequence, None)

    def clear(self) -> None:
        """Record that the cache is empty (another adapter, or a failed decode)."""
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
        """Evict the oldest other prompts until all fit.

        Shared cells count twice, which is safe.
        """
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
    """Return the length of the longest common prefix."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    low, high = 0, n  # a[:low] is common, a[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low
