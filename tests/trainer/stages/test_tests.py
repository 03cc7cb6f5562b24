"""The model's asserts become probe inputs and votes."""

from __future__ import annotations

from tests.trainer.scripted_model import TINY
from tests.trainer.second_largest import problem, sample
from trainer.stages import tests


def test_the_models_own_example_is_a_vote_and_not_a_constraint() -> None:
    blocks = tests.read(problem(), [sample("[1, 2]) == 1\nassert second_largest([5, 5]) == 5")])
    inputs = tests.probes_for(problem(), blocks, TINY)
    assert inputs.constraints == ()
    assert len(inputs.asserts) == 3
    assert len(inputs.probes) == TINY.probes
