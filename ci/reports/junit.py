"""Write junit.xml: one suite per patch.

A suite has every expected test, and one case for the verdict on the patch.
"""

from __future__ import annotations

import re

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ci.gate import ExaminedPatch, GateResult
from ci.verdict import Standing

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(result: GateResult, path: str) -> None:
    """Write the report on `result` to `path`."""
    report = JUnitXml("ucoder gate")
    for number, one in enumerate(result.examined):
        suite = TestSuite(_clean(one.name))
        for test in result.expected.outcomes:
            if one.tests:
                suite.add_testcase(_test(test, one))
        suite.add_testcase(_verdict(result, number, one))
        report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]  # junitparser types all but this
    report.write(path, pretty=True)


def _test(test: str, one: ExaminedPatch) -> TestCase:
    file, _, name = test.partition("::")
    case = TestCase(_clean(name or file), classname=_clean(file))
    how = one.tests.get(test, "not reported")
    text = _clean(one.texts.get(test, how))
    if how in ("failed", "not reported"):
        case.result = [Failure(text)]
    elif how == "error":
        case.result = [Error(text)]
    elif how in ("skipped", "xfailed"):
        case.result = [Skipped(how)]
    return case


def _verdict(result: GateResult, number: int, one: ExaminedPatch) -> TestCase:
    """The verdict on one patch as a test case.

    It passes for the accepted patch only; other plausible patches are skipped.
    """
    case = TestCase("verdict", classname="ucoder.gate", time=round(one.wall_s, 3))
    if result.verdict.winner == number:
        return case
    if one.standing is Standing.PLAUSIBLE:
        note = result.verdict.notes.get(number, "")
        case.result = [Skipped(_clean(f"plausible, not chosen ({note}): {result.verdict.reason}"))]
    elif one.standing is Standing.INFRA:
        case.result = [Error(_clean(one.reason))]
    else:
        case.result = [Failure(_clean(f"{one.standing}: {one.reason}"))]
    return case


def _clean(text: str) -> str:
    """Replace the characters that XML cannot hold; tests print anything."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
