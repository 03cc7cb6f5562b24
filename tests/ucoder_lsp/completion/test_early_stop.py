"""Early stopping: it never changes the most frequent text."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ucoder_lsp.completion.early_stop import Majority


@given(st.lists(st.sampled_from(["a", "b", " a", "dropped"]), min_size=1, max_size=16))
def test_stopping_never_changes_the_most_frequent_text(texts: list[str]) -> None:
    def normalise(text: str) -> str | None:
        return None if text == "dropped" else text.strip()

    majority = Majority(len(texts), normalise)
    counts: Counter[str] = Counter()
    for number, text in enumerate(texts):
        normal = normalise(text)
        counts.update([normal] if normal is not None else [])
        if majority.add(text):
            leader, votes = counts.most_common(1)[0]
            others = [other for other in counts if other != leader]
            remaining = len(texts) - number - 1
            assert all(counts[other] + remaining < votes for other in others)
            assert remaining < votes
            return
    assert not counts or counts.most_common(1)[0][1] <= len(texts) / 2
