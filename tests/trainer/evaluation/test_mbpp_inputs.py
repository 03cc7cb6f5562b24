"""JSON inputs of MBPP+ get back the types that their asserts show."""

from __future__ import annotations

from trainer.evaluation.mbpp_inputs import typed_inputs


def test_inputs_get_the_types_of_the_asserts() -> None:
    (inputs,) = typed_inputs("f", "assert f((1, 2), {3}, [4], 'a') == 5", [[[7, 8], [9], [6], "12"]], [])
    assert inputs == [(7, 8), {9}, [6], "12"]
    assert typed_inputs("f", "assert f(0, 1j) == 5", [["2", "2+1j"]], []) == [[2, 2 + 1j]]
