"""The cache of recent completions: typing along the ghost text costs nothing.

An entry answers its own position and every position reached by typing the offered text (matched backwards on the typed
prefix, the technique of llama.vscode). Every cache key holds the identity of the model and of the adapter.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from ucoder_lsp.completion.explain import Explanation

MAX_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class _CachedCompletion:
    prefix: str
    suffix: str
    explanation: Explanation


class CompletionCache:
    """The newest `MAX_ENTRIES` completions. Not thread-safe: used from one event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, ...], _CachedCompletion] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, identity: tuple[str, ...], prefix: str, suffix: str, explanation: Explanation) -> None:
        """Store the completion of this position under `identity` (model, adapter, settings)."""
        key = (*identity, prefix, suffix)
        self._entries[key] = _CachedCompletion(prefix, suffix, explanation)
        self._entries.move_to_end(key)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def get(self, identity: tuple[str, ...], prefix: str, suffix: str) -> Explanation | None:
        """Return the completion of this position, or None.

        It may be the rest of one that the user is typing.
        """
        for key, entry in reversed(self._entries.items()):
            if key[:-2] != identity or entry.suffix != suffix or not prefix.startswith(entry.prefix):
                continue
            typed = prefix[len(entry.prefix) :]
            offered = entry.explanation.text
            if offered.startswith(typed) and (len(offered) > len(typed) or not offered):
                self._entries.move_to_end(key)
                return replace(entry.explanation, text=offered[len(typed) :], cached=True)
        return None
