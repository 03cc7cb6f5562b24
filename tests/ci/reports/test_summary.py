"""Text of patch authors never acts as markup in summary.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.gate import ExaminedPatch, GateResult, Request
from ci.reports.summary import summary_text
from ci.testing.results import Expected
from ci.verdict import Standing, Verdict, VerdictKind


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("gives 'https://evil.example'", "gives 'https`://`evil.example'"),
        ("WWW.evil.example", "`WWW.`evil.example"),
        ("@ada and #1", "`@`ada and `#`1"),
        ("[a](b) ![c][d]", "[a]\\(b) \\![c]\\[d]"),
        ("<img> | `x`", "\\<img\\> \\| \\`x\\`"),
        ("two\nlines", "two lines"),
    ],
)
def test_prose_never_becomes_markup(written: str, shown: str) -> None:
    failed = ExaminedPatch("a.patch", "0", standing=Standing.FAILED, reason=written)
    outcome = GateResult(
        Request(Path(), "main", ()), "0" * 40, Verdict(VerdictKind.REJECTED, written), (failed,),
        Expected({}, frozenset()), None, 1, 0.0,
    )  # fmt: skip
    text = summary_text(outcome)
    assert text.splitlines()[2] == shown
    assert f"| `a.patch` | - | failed | - | {shown} |" in text
