"""Test the features of the default rule, on evidence with known numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sandbox.consensus.calibration import shipped
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.rules.features import FEW, NAMES, clusters_of, matrix
from sandbox.consensus.rules.joint import Joint
from sandbox.consensus.signature import behaviour_of
from sandbox.consensus.types import Evidence
from sandbox.outcome import Outcome, Status
from sandbox.program import Vote
from sandbox.values import Value

CRASH = Outcome(Status.EXCEPTION, exception="ValueError")


def evidence(rows: list[str], sources: list[str], asserts: str = "") -> Evidence:
    """Make evidence with one letter per outcome (`!` crashes).

    `asserts` has the letter expected on each probe, or a space.
    """
    return Evidence(
        tuple(tuple(CRASH if c == "!" else Outcome(Status.OK, Value.of(c)) for c in row) for row in rows),
        tuple(sources),
        (0.0,) * len(rows),
        tuple(Vote(p, Value.of(c)) for p, c in enumerate(asserts) if c != " "),
    )


def table(of: Evidence) -> dict[str, list[float]]:
    """Return features by name, one number per cluster, in sampled order."""
    behaviour = behaviour_of(of)
    found = matrix(behaviour, of, clusters_of(behaviour, of))
    return {name: found[:, i].tolist() for i, name in enumerate(NAMES)}


def test_copies_of_one_text_are_one_vote():
    of = evidence(["ab"] * 4 + ["cd"] * 4, ["same  # comment"] * 3 + ["same"] + list("wxyz"))
    assert table(of)["log_texts"] == pytest.approx([0.0, math.log(4)])
    assert RULES[DEFAULT_RULE].decide(of).winner in range(4, 8)


def test_constant_candidates_are_recognised():
    of = evidence(["aaaa", "aaba", "abcd"], list("xyz"))
    found = table(of)
    assert found["constant"] == [1, 0, 0]
    assert found["nearly_constant"] == [1, 0, 0]
    longer = table(evidence(["a" * 30, "a" * 29 + "b", "abcd" * 7 + "ab"], list("xyz")))
    assert longer["constant"] == [1, 0, 0]
    assert longer["nearly_constant"] == [1, 1, 0]


def test_stubs_lose_against_as_many_candidates_that_answer():
    stubs = ["def f(x):\n    pass  # one", "def f(x):\n    return None", "def f(x):\n    'None'\n"]
    bodies = [f"def f(x):\n    y = x + {i}\n    return [y for y in range(y)]" for i in range(3)]
    of = evidence(["nnnn"] * 3 + ["abcd"] * 3, stubs + bodies)
    assert RULES[DEFAULT_RULE].decide(of).winner in (3, 4, 5)


def test_only_what_differs_between_texts_counts_as_length():
    document = "import os\n" * 50
    sources = [f"{document}def f(x):\n    {body}\n\nprint(f)" for body in ("pass", "y" * 40, "z" * 40)]
    brevity = table(evidence(["a", "b", "c"], sources))["brevity"]
    assert brevity == pytest.approx([math.log((FEW + 4) / (FEW + 40)), 0, 0])


def test_support_is_the_share_of_passed_asserts():
    found = table(evidence(["aab", "abb", "ccc"], list("xyz"), asserts="aab"))
    assert found["log_support"] == pytest.approx(np.log([1.02, 2 / 3 + 0.02, 0.02]))


@pytest.mark.parametrize("parameters", [shipped().everything, *shipped().folds])
@pytest.mark.parametrize("passed", range(4))
def test_passing_one_more_assert_never_hurts(parameters, passed):
    """Check that poor asserts of recorded tasks did not mislead the fit."""
    rows = ["a" * passed + "zyxw"[passed:], "a" * (passed + 1) + "zyxw"[passed + 1 :]]
    decision = Joint(parameters=parameters).decide(evidence(rows, ["text 1", "text 2"], asserts="aaaa"))
    assert decision.winner == 1


def test_agreement_is_the_mean_over_the_other_candidates():
    of = evidence(["ab", "ab", "a!"], list("xyz"))
    assert table(of)["agreement"] == pytest.approx([(1 + 0.5) / 2, 0.5])
