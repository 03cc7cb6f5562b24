"""Test that everything but plain data is refused."""

from __future__ import annotations

import pytest

from sandbox.inputs.literals import NotALiteral, parse_literal


@pytest.mark.parametrize(
    "text", ["[0] * 10**9", "9**9**9", "'a' * 10**9", "__import__('os')", "x", "1j", "{[]: 1}", "1/0"]
)
def test_everything_but_plain_data_is_refused(text):
    with pytest.raises(NotALiteral):
        parse_literal(text)
