"""The assessment of pytest's reports: failures, tampering, and damaged reports."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.testing.canaries import Canaries, make_canaries
from ci.testing.results import Expected, PatchTestResult, assess_run, expected_outcomes, read_reports
from ci.verdict import Standing

WORD = "w0rd"
CANARIES = Canaries("test_x.py", "", frozenset({"test_x.py::test_a", "test_x.py::test_b"}))
EXPECTED = Expected(
    {"t.py::one": "passed", "t.py::two": "passed", "t.py::skip": "skipped", "u.py::bug": "failed"},
    frozenset({"t.py::flaky"}),
    frozenset({"u.py::bug"}),
)


def line(**record: object) -> str:
    return f"{WORD} {json.dumps(record)}"


def reported(test: str, outcome: str = "passed", *, when: str = "call", xfail: bool = False) -> str:
    text = "" if outcome == "passed" else "why"
    return line(kind="report", id=test, when=when, outcome=outcome, xfail=xfail, text=text)


def honest() -> list[str]:
    """The reports of a patch that fixes the bug."""
    lines = [line(kind="started", pytest="9", python="3.11")]
    for test in ("t.py::one", "t.py::two", "u.py::bug", "t.py::flaky"):
        lines += [reported(test, when=when) for when in ("setup", "call", "teardown")]
    lines += [reported("t.py::skip", "skipped", when="setup")]
    lines += [reported(test, "failed") for test in sorted(CANARIES.ids)]
    return [*lines, line(kind="finished", status=1)]


def assessed(lines: list[str], ended: str = "") -> PatchTestResult:
    return assess_run(EXPECTED, read_reports("\n".join(lines), WORD), CANARIES, ended)


def without(test: str) -> list[str]:
    return [entry for entry in honest() if f'"{test}"' not in entry]


def test_an_honest_run_passes() -> None:
    found = assessed(honest())
    assert (found.standing, found.reason) == (Standing.PLAUSIBLE, "")
    assert CANARIES.ids.isdisjoint(found.tests)


def test_output_of_tests_is_not_a_report() -> None:
    noise = ["started {}", "\x00", f" {WORD} {{}}", '{"kind": "finished"}']
    assert assessed([*noise, *honest(), *noise]).standing is Standing.PLAUSIBLE


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (honest()[:-1], "ended itself"),
        (honest()[:3], "ended itself"),
        ([], "ended itself"),
        (without("t.py::two"), "never reported, first t.py::two"),
        (without("t.py::flaky"), "never reported, first t.py::flaky"),
        (without("test_x.py::test_a"), "1 of 2 tests that must fail were never reported"),
        ([*without("test_x.py::test_a"), reported("test_x.py::test_a")], "reported as passed"),
        ([*without("test_x.py::test_a"), reported("test_x.py::test_a", "skipped")], "reported as skipped"),
        ([reported("t.py::one"), *honest()], "more than once"),
        ([reported("t.py::new"), *honest()], "base has no such test"),
        ([f"{WORD} nonsense", *honest()], "channel"),
        ([line(kind="report", id=1), *honest()], "channel"),
    ],
)
def test_tampering(lines: list[str], message: str) -> None:
    found = assessed(lines)
    assert found.standing is Standing.TAMPERING
    assert message in found.reason


@pytest.mark.parametrize(
    ("lines", "ended", "message"),
    [
        ([*without("t.py::one"), reported("t.py::one", "failed")], "", "first t.py::one failed"),
        ([*without("t.py::one"), reported("t.py::one", "failed", when="setup")], "", "t.py::one error"),
        ([*without("t.py::one"), reported("t.py::one", "skipped", when="setup")], "", "t.py::one skipped"),
        ([*without("t.py::one"), reported("t.py::one", "skipped", xfail=True)], "", "t.py::one xfailed"),
        ([*without("u.py::bug"), reported("u.py::bug", "failed")], "", "must pass with the patch"),
        ([*without("u.py::bug"), line(kind="collect-error", id="u.py", text="x")], "", "cannot be collected"),
        (honest()[:4], "more than 5 s", "did not finish: more than 5 s"),
        ([honest()[0], line(kind="finished", status=4)], "", "could not start"),
    ],
)
def test_plain_failures(lines: list[str], ended: str, message: str) -> None:
    found = assessed(lines, ended)
    assert found.standing is Standing.FAILED
    assert message in found.reason


def test_a_parametrised_test_may_gain_cases() -> None:
    expected = Expected({"t.py::p[1]": "passed"}, frozenset())
    lines = [reported("t.py::p[1]"), reported("t.py::p[2]"), *[reported(c, "failed") for c in CANARIES.ids]]
    found = assess_run(
        expected, read_reports("\n".join([*lines, line(kind="finished", status=1)]), WORD), CANARIES
    )
    assert found.standing is Standing.PLAUSIBLE


def test_flaky_tests_do_not_count() -> None:
    assert (
        assessed([*without("t.py::flaky"), reported("t.py::flaky", "failed")]).standing is Standing.PLAUSIBLE
    )


def test_expected_outcomes_are_those_of_two_runs() -> None:
    first = read_reports(
        "\n".join([reported("a"), reported("b"), reported("c", "failed"), reported("d")]), WORD
    )
    second = read_reports("\n".join([reported("a"), reported("b", "failed"), reported("c", "failed")]), WORD)
    found = expected_outcomes(first, second, (CANARIES, CANARIES))
    assert found.outcomes == {"a": "passed", "c": "failed"}
    assert found.flaky == {"b", "d"}
    assert found.failing == {"c"}


@given(st.data())
def test_lost_or_repeated_reports_never_pass(data: st.DataObject) -> None:
    """Remove or repeat reports; only a complete set may pass."""
    lines = honest()
    kept = [entry for entry in lines if data.draw(st.booleans())]
    again = data.draw(st.lists(st.sampled_from(lines), max_size=3))
    shuffled = data.draw(st.permutations([*kept, *again]))
    if assessed(shuffled).standing is Standing.PLAUSIBLE:
        reported_ids = {json.loads(entry.partition(" ")[2]).get("id") for entry in shuffled}
        assert EXPECTED.outcomes.keys() | CANARIES.ids <= reported_ids
        reports = [entry for entry in shuffled if '"report"' in entry]
        assert len(set(reports)) == len(reports)


@given(st.text(max_size=200), st.lists(st.text(max_size=60), max_size=5))
def test_no_output_breaks_the_reader(text: str, lines: list[str]) -> None:
    read_reports(text, WORD)
    read_reports("\n".join(f"{WORD} {entry}" for entry in lines), WORD)
    read_reports("\n".join(f'{WORD} {{"kind": {json.dumps(entry)}, "id": [[1]]}}' for entry in lines), WORD)


def test_canaries_are_new_each_time_and_all_fail() -> None:
    one, other = make_canaries(), make_canaries()
    assert one.ids.isdisjoint(other.ids)
    namespace: dict[str, object] = {}
    exec(compile(one.source, one.file, "exec"), namespace)
    for test in one.ids:
        function = namespace[test.partition("::")[2]]
        assert callable(function)
        with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
            function()
