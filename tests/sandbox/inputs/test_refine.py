"""Test distinguishing inputs: new ones, near those with disagreement."""

from __future__ import annotations

import numpy as np

from sandbox.inputs import propose
from sandbox.inputs.refine import choose_distinguishing, disagreement, refine

SOURCE = """
def largest(numbers: list[float], limit: float = 0.5) -> float:
    '''Return the largest number below the limit, as in largest([0.1, 0.7], 0.5) == 0.1.'''
"""


def test_refine_proposes_new_neighbours_of_disagreement():
    tried = propose(SOURCE, "largest", budget=8).probes
    labels = np.zeros((4, 8), dtype=np.int32)
    labels[2:, 5] = 1
    refined = refine(SOURCE, "largest", tried, labels, budget=10)
    assert 5 <= len(refined.probes) <= 10
    assert not set(map(repr, refined.probes)) & set(map(repr, tried))
    assert disagreement(labels).argmax() == 5


def test_chosen_probes_split_different_pairs():
    labels = np.array([[0, 0, 0, 5], [0, 0, 1, -1], [1, 1, 0, 5], [1, 1, 1, -1]], dtype=np.int32)
    assert choose_distinguishing(labels, 3) == [0, 2], (
        "the second probe repeats the first; the last one gives crashes only"
    )
