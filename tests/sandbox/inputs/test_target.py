"""Test signatures that are read from text that need not parse."""

from __future__ import annotations

import pytest

from sandbox.inputs import propose
from sandbox.inputs.target import find_target


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: int, b: str = 'x') -> int:\n",
        "x = (\ndef f(a: int,\n      b: str = 'x') -> int:\n    '''Doc: not closed",
        "class A:\n  def f(self, z): pass\n\ndef f(a: int, b: str = 'x') -> int:\n    return (",
        "    def f(a: int, b: str = 'x'):\n        '''Doc.'''\n        if",
    ],
)
def test_signature_is_found_in_text_that_does_not_parse(source):
    target = find_target(source, "f")
    assert [parameter.name for parameter in target.parameters] == ["a", "b"]
    assert propose(source, "f").probes


@pytest.mark.parametrize("source", ["", "def g(): 0", "def f(", "\x00", "def f(" + "(" * 5000])
def test_no_signature_means_no_probes(source):
    assert propose(source, "f").probes == ()
