"""Test the common interface of the languages."""

from __future__ import annotations

import pytest

from sandbox.errors import ArgumentError
from sandbox.host.languages import RUNTIMES
from sandbox.program import Call, Expression, Probe


def test_an_extension_belongs_to_one_language() -> None:
    extensions = [extension for runtime in RUNTIMES.values() for extension in runtime.extensions]
    assert len(set(extensions)) == len(extensions)
    assert all(extension.startswith(".") for extension in extensions)


@pytest.mark.parametrize(
    ("language", "text", "probe"),
    [
        ("python", "f(1, [2], x=(3,))", Call("f", (1, [2]), {"x": (3,)})),
        ("python", "f()", Call("f")),
        ("python", "f(y)", Expression("f(y)")),
        ("python", "f(**{'x': 1})", Expression("f(**{'x': 1})")),
        ("python", "A.g(1)", Expression("A.g(1)")),
        ("javascript", 'f(1, [2], {"x": null})', Call("f", (1, [2], {"x": None}))),
        ("javascript", " A.$g( true ) ", Call("A.$g", (True,))),
        ("javascript", "f()", Call("f")),
        ("javascript", "f(y)", Expression("f(y)")),
        ("javascript", "f(NaN)", Expression("f(NaN)")),
        ("javascript", "f(1) + f(2)", Expression("f(1) + f(2)")),
        ("javascript", "x => x", Expression("x => x")),
    ],
)
def test_a_call_with_literal_arguments_is_read_as_a_call(language: str, text: str, probe: Probe) -> None:
    assert RUNTIMES[language].read_call(text) == probe


def test_text_that_is_not_python_is_refused() -> None:
    with pytest.raises(ArgumentError, match="not a Python expression"):
        RUNTIMES["python"].read_call("f(")
