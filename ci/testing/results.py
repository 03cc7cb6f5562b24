"""Parse pytest's reports, and assess them against the results of base.

Pure functions of text. The reports come from a process that ran untrusted code, so they are claims, not
facts. Every test that base passes must be reported exactly once. Every canary must be reported as failed. The
process must have reached pytest's own end. A deviation that no honest program causes is tampering; anything
else that is wrong is a failure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ci.testing.canaries import Canaries
from ci.verdict import Standing

_CANNOT_START = 4
"""pytest's exit status for a usage error; a conftest that fails to import has it too."""
MAX_TEXT = 1500


@dataclass(frozen=True, slots=True)
class Reports:
    """The claims of one run, by test id in order of report."""

    outcomes: Mapping[str, str]
    """passed, failed, skipped, xfailed, xpassed or error (outside the test's own call)."""
    repeated: tuple[str, ...]
    """Ids that were reported more than once."""
    uncollected: Mapping[str, str]
    """Files (or other collectors) that failed to load, with pytest's message."""
    texts: Mapping[str, str]
    started: bool
    status: int | None
    """pytest's exit status; None when the process ended before pytest did."""
    malformed: int = 0
    """Number of lines that begin with the run's word and are not reports."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The results of two runs of base."""

    outcomes: Mapping[str, str]
    """By id, the outcome of every test that gave the same one twice."""
    flaky: frozenset[str]
    failing: frozenset[str] = field(default_factory=frozenset)
    """Ids among `outcomes` that fail on base: the reproduction tests."""


@dataclass(frozen=True, slots=True)
class PatchTestResult:
    """The assessment of a patch's run of the tests."""

    standing: Standing
    reason: str
    tests: Mapping[str, str]


def read_reports(stdout: str, word: str) -> Reports:
    """Parse the report lines of one run's standard output. Never raises."""
    phases: dict[str, list[tuple[str, str, bool]]] = {}
    collected: list[str] = []
    uncollected: dict[str, str] = {}
    texts: dict[str, str] = {}
    started, status, malformed = False, None, 0
    for line in stdout.split("\n"):
        if not line.startswith(word + " "):
            continue
        record = _record(line[len(word) + 1 :])
        match record:
            case {"kind": "started"}:
                started = True
            case {"kind": "finished", "status": int(code)}:
                status = code
            case {"kind": "collected", "id": str(test)}:
                collected.append(test)
            case {"kind": "collect-error", "id": str(test), "text": str(text)}:
                uncollected[test] = text[-MAX_TEXT:]
            case {
                "kind": "report", "id": str(test), "when": str(when), "outcome": str(how),
                "xfail": bool(xfail), "text": str(text),
            }:  # fmt: skip
                phases.setdefault(test, []).append((when, how, xfail))
                if how != "passed" and text:
                    texts.setdefault(test, text[-MAX_TEXT:])
            case _:
                malformed += 1
    counts = Counter(collected)
    repeated = [test for test, seen in phases.items() if max(Counter(p[0] for p in seen).values()) > 1]
    repeated += [test for test, count in counts.items() if count > 1 and test not in repeated]
    return Reports(
        outcomes={test: _outcome(seen) for test, seen in phases.items()},
        repeated=tuple(repeated),
        uncollected=uncollected,
        texts=texts,
        started=started,
        status=status,
        malformed=malformed,
    )


def expected_outcomes(first: Reports, second: Reports, canaries: tuple[Canaries, Canaries]) -> Expected:
    """Keep the outcomes that two runs of base share.

    A test that differs between them is flaky and does not count.
    """
    one = {test: how for test, how in first.outcomes.items() if test not in canaries[0].ids}
    two = {test: how for test, how in second.outcomes.items() if test not in canaries[1].ids}
    unclear = {*first.repeated, *second.repeated}
    stable = {test: how for test, how in one.items() if two.get(test) == how and test not in unclear}
    failing = frozenset(test for test, how in stable.items() if how in ("failed", "error"))
    return Expected(stable, frozenset((one.keys() | two.keys()) - stable.keys()), failing)


def assess_run(expected: Expected, reports: Reports, canaries: Canaries, ended: str = "") -> PatchTestResult:
    """Assess a patch's run of the tests.

    `ended` gives the reason when the jail ended it (`more than 120 s`).
    """
    tests = {test: how for test, how in reports.outcomes.items() if test not in canaries.ids}
    problem = _tampering(expected, reports, canaries, ended)
    if problem:
        return PatchTestResult(Standing.TAMPERING, problem, tests)
    problem = _failure(expected, reports, ended)
    return PatchTestResult(Standing.FAILED if problem else Standing.PLAUSIBLE, problem, tests)


def _tampering(expected: Expected, reports: Reports, canaries: Canaries, ended: str) -> str:
    """The sign of tampering that the reports show, or an empty text."""
    claims = [reports.outcomes.get(canary, "") for canary in sorted(canaries.ids)]
    spared = [how for how in claims if how not in ("", "failed", "error")]
    if spared:
        return f"{len(spared)} of {len(canaries.ids)} tests that must fail were reported as {spared[0]}"
    if reports.malformed:
        return "something wrote to the channel of the test reports"
    if reports.repeated:
        return f"{reports.repeated[0]} was reported more than once"
    if ended or reports.status == _CANNOT_START:
        return ""
    if reports.status is None:
        return "the test process ended itself before pytest was done"
    missing = canaries.ids - reports.outcomes.keys()
    if missing:
        return f"{len(missing)} of {len(canaries.ids)} tests that must fail were never reported"
    lost = [test for test in _absent(expected, reports) if not _failed_to_load(test, reports)]
    if lost:
        return f"{len(lost)} expected tests were never reported, first {lost[0]}"
    known = expected.outcomes.keys() | expected.flaky | canaries.ids
    unknown = [test for test in reports.outcomes if test not in known and not _is_variant(test, known)]
    if unknown:
        return f"{unknown[0]} was reported, but base has no such test"
    return ""


def _failure(expected: Expected, reports: Reports, ended: str) -> str:
    """The reason why the patch does not pass, or an empty text."""
    if ended:
        return f"the tests did not finish: {ended}"
    if reports.status == _CANNOT_START:
        return "pytest could not start with it (a conftest or plugin of the project does not load)"
    wrong = []
    for test, before in expected.outcomes.items():
        now = reports.outcomes.get(test, "not collected")
        good = now == "passed" if before in ("passed", "failed", "error") else now not in ("failed", "error")
        if not good and now != "not collected":
            wrong.append(f"{test} {now}" + (" (it must pass with the patch)" if before == "failed" else ""))
    if wrong:
        return f"{len(wrong)} of {len(expected.outcomes)} tests do not pass, first {wrong[0]}"
    absent = _absent(expected, reports)
    if absent:
        return f"{len(absent)} tests cannot be collected, first {absent[0]}"
    return ""


def _absent(expected: Expected, reports: Reports) -> list[str]:
    return [test for test in (*expected.outcomes, *expected.flaky) if test not in reports.outcomes]


def _failed_to_load(test: str, reports: Reports) -> bool:
    """Return True if a test's file, folder or class failed to load."""
    return any(
        above in ("", ".", test) or test.startswith((f"{above}::", f"{above}/"))
        for above in reports.uncollected
    )


def _is_variant(test: str, known: frozenset[str] | set[str]) -> bool:
    """Return True if base has the test with other parameters.

    A patch may extend the table that a test is parametrised over.
    """
    stem = test.partition("[")[0]
    return "[" in test and any(other.partition("[")[0] == stem for other in known)


def _record(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _outcome(phases: list[tuple[str, str, bool]]) -> str:
    """Combine the phases of one test (setup, call, teardown) into one word."""
    by_phase = {when: (how, xfail) for when, how, xfail in phases}
    call, xfail = by_phase.get("call", ("", False))
    if call == "failed":
        return "failed"
    if any(how == "failed" for how, _ in by_phase.values()):
        return "error"
    if any(how == "skipped" for how, _ in by_phase.values()):
        return "xfailed" if any(flag for _, flag in by_phase.values()) else "skipped"
    if call == "passed":
        return "xpassed" if xfail else "passed"
    return "error"
