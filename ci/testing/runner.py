"""Run a tree's tests and canaries in the sandbox; read reports outside.

The tree is copied for every run, so that no run sees files that another left behind. The jail has no network,
no `.git` and no file of the host except the interpreter's.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci.errors import UnavailableError, UsageError
from ci.testing.canaries import Canaries, make_canaries
from ci.testing.results import Reports, read_reports
from sandbox.command import CommandResult, run_command
from sandbox.errors import InterpreterMissing, SandboxUnavailable
from sandbox.limits import MIB
from sandbox.outcome import Status

OUTPUT_BYTES = 64 * MIB
"""Bytes of reports and other output. A run that writes more is a failure."""

_REPORTER = Path(__file__).with_name("reporter.py")


@contextmanager
def sandbox_failures() -> Iterator[None]:
    """Turn the sandbox's exceptions into the gate's; the only place that does."""
    try:
        yield
    except SandboxUnavailable as error:
        raise UnavailableError(str(error)) from error
    except InterpreterMissing as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run: reports, canaries, and the reason if the jail ended it."""

    __test__ = False  # pytest would take the name for a test class

    reports: Reports
    canaries: Canaries
    ended: str
    """The reason why the jail ended it (`more than 600 s`), or empty."""
    stderr: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class TestRunner:
    """Runs the tests of one project in the sandbox.

    `python` is a path, a command or a virtual environment's folder; None means the interpreter of the gate.
    """

    __test__ = False

    python: str | None = None
    arguments: tuple[str, ...] = ()
    timeout_s: float = 600.0

    def __call__(self, tree: Path, hash_seed: int) -> TestRun:
        """Run the tests of `tree` under one hash seed.

        Raises `UnavailableError` when the sandbox fails.
        """
        planted = make_canaries()
        planted.plant(tree)
        word = "ucoder-" + secrets.token_hex(12)
        program = _REPORTER.read_text(encoding="utf-8")
        command = ["python", "-B", "-c", program, word, planted.file, secrets.token_hex(4)]
        options = ["-q", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
        try:
            with sandbox_failures():
                result = run_command(
                    [*command, *options, *self.arguments],
                    workdir=tree,
                    env={"PYTHONHASHSEED": str(hash_seed), "PYTHONDONTWRITEBYTECODE": "1"},
                    wall_s=self.timeout_s,
                    output_bytes=OUTPUT_BYTES,
                    readonly=self._extra_packages(),
                    interpreter=self.python,
                )
        finally:
            (tree / planted.file).unlink()
        reports = read_reports(result.stdout, word)
        return TestRun(reports, planted, _ended(result, self.timeout_s), result.stderr, result.wall_s)

    def _extra_packages(self) -> Sequence[Path]:
        """Package folders of the gate's own interpreter.

        They may lie outside its environment (`.pth` files).
        """
        if self.python is not None:
            return ()
        found = [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
        return [path for path in found if path.is_dir()]


def check_base(run: TestRun, python: str | None) -> None:
    """Raise `UsageError` when base's run shows that its tests cannot judge."""
    reports = run.reports
    if run.ended:
        raise UsageError(
            f"the tests of the base commit did not finish ({run.ended}): raise --timeout, or choose fewer "
            "with --tests"
        )
    if not reports.started:
        message = (run.stderr.strip().splitlines() or ["it printed no message"])[-1]
        raise UsageError(
            f"pytest does not start under {python or sys.executable} ({message}): install pytest and the "
            "project's dependencies there, or name their interpreter with --python"
        )
    if reports.uncollected:
        first, text = next(iter(reports.uncollected.items()))
        last = (text.strip().splitlines() or [""])[-1]
        raise UsageError(
            f"{first} cannot be collected on the base commit ({last}): fix it, install what it needs for "
            "--python, or choose other tests with --tests"
        )
    if any(reports.outcomes.get(canary) != "failed" for canary in run.canaries.ids):
        message = (run.stderr.strip().splitlines() or ["it printed no message"])[-1]
        raise UsageError(
            "tests that must fail were not reported as failed on the base commit, so failures are "
            f"invisible: pytest ended with status {reports.status} ({message[:200]}); check the pytest settings"
        )


def _ended(result: CommandResult, timeout_s: float) -> str:
    """The reason why the jail ended a run, or an empty text."""
    if result.status is Status.WALL:
        return f"more than {timeout_s:g} s"
    if result.truncated:
        return f"more than {OUTPUT_BYTES // MIB} MiB of output"
    if result.status is Status.SIGNAL:
        return f"killed by signal {(result.returncode or 128) - 128}"
    return ""
