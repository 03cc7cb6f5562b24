"""The cache of completions: keyed by identity, matched along the typed text."""

from __future__ import annotations

from ucoder_lsp.completion.cache import MAX_ENTRIES, CompletionCache
from ucoder_lsp.completion.explain import Explanation

BASE = ("model", "", "settings")
TUNED = ("model", "0001@abc", "settings")


def explained(text: str) -> Explanation:
    return Explanation(0, 0, "line", "f", text, "consensus", "because", 0.5, "agrees", "m", None)


def test_typing_the_offered_text_keeps_the_rest() -> None:
    cache = CompletionCache()
    cache.put(BASE, "return ", "\n", explained("x + 1"))
    for typed in ("", "x", "x + "):
        known = cache.get(BASE, "return " + typed, "\n")
        assert known is not None
        assert known.cached
        assert known.text == "x + 1"[len(typed) :]
    assert cache.get(BASE, "return y", "\n") is None
    assert cache.get(BASE, "return x + 1", "\n") is None, "nothing is left to offer"
    assert cache.get(BASE, "return ", "\nz = 1\n") is None, "the text behind the cursor changed"


def test_another_adapter_never_answers() -> None:
    cache = CompletionCache()
    cache.put(BASE, "return ", "\n", explained("x"))
    assert cache.get(TUNED, "return ", "\n") is None


def test_an_empty_answer_is_remembered_for_its_own_position_only() -> None:
    cache = CompletionCache()
    cache.put(BASE, "a", "", explained(""))
    assert cache.get(BASE, "a", "") is not None
    assert cache.get(BASE, "ab", "") is None


def test_the_oldest_entry_goes_first() -> None:
    cache = CompletionCache()
    for number in range(MAX_ENTRIES + 1):
        cache.put(BASE, f"{number}!", "", explained("x"))
    assert len(cache) == MAX_ENTRIES
    assert cache.get(BASE, "0!", "") is None
    assert cache.get(BASE, "1!", "") is not None
