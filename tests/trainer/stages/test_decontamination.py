"""Overlaps with an excluded file are found."""

from __future__ import annotations

from tests.trainer.second_largest import TASK
from trainer.stages.decontamination import overlaps, word_shingles


def test_eight_words_in_a_row_are_an_overlap_and_seven_are_not() -> None:
    shingles = word_shingles(
        ["Please: FIND the second, largest number of a list (quickly) 1 2 3 4 5 6 7 8 9"]
    )
    assert overlaps(TASK, shingles)
    assert not overlaps("find the second largest number of a set", shingles)
