"""Skeletons are programs without their bodies."""

from __future__ import annotations

import ast

from tests.trainer.second_largest import problem, sample
from trainer.stages import skeletons


def test_skeletons_are_the_stub_and_its_distinct_plans() -> None:
    found = skeletons.read(problem(), [sample(" sort it, take the last but one."), sample(" "), sample("sort it, take the last but one.")])  # fmt: skip  # noqa: E501
    assert found == [problem().stub, problem().stub + "\n    # Plan: sort it, take the last but one."]
    for skeleton in found:
        ast.parse(skeleton + "\n    return 0")
