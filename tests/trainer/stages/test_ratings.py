"""Ratings are read from the answers."""

from __future__ import annotations

from tests.trainer.second_largest import sample
from trainer.stages import ratings


def test_a_rating_is_the_mean_of_the_readable_answers() -> None:
    texts = [" 4\nDifficulty: 2", " 2\nDifficulty: 4", " 9\nDifficulty: 1", "good"]
    assert ratings.read([sample(text) for text in texts]) == ratings.Rating(3.0, 3.0)
    assert ratings.read([sample("?")]) == ratings.Rating(0.0, 0.0)
