"""One run of a tree's tests in the sandbox, with canaries planted and the reports read from outside.

The tree is copied for every run, so nothing that one run leaves behind meets the next. No network, no `.git`,
no files of the host but the interpreter's.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci.errors import UnavailableError, UsageError
from ci.testing import canaries
from ci.testing import test_reports as ledger
from ci.testing.canaries import Canaries
from ci.testing.test_reports import Reports
from sandbox.command import CommandResult, run_command
from sandbox.errors import InterpreterMissing, SandboxUnavailable
from sandbox.limits import MIB
from sandbox.outcome import Status

OUTPUT_BYTES = 64 * MIB
"""Reports and whatever the tests print; a run that writes more has not shown that it passes."""

_REPORTER = Path(__file__).with_name("reporter.py")


@contextmanager
def sandbox_failures() -> Iterator[None]:
    """The one place where the sandbox's refusals become the gate's."""
    try:
        yield
    except SandboxUnavailable as error:
        raise UnavailableError(str(error)) from error
    except InterpreterMissing as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run: what was reported, the canaries that were in it, and how it ended if not by itself."""

    __test__ = False  # pytest would take the name for a test class

    reports: Reports
    canaries: Canaries
    ended: str
    """Empty, or why the jail ended it (`more than 600 s`)."""
    stderr: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class TestRunner:
    """How the tests of this project run: the interpreter, pytest's arguments, and the time one run may take.

    `python` is a path, a command or a virtual environment's folder; None means the interpreter of the gate.
    """

    __test__ = False

    python: str | None = None
    arguments: tuple[str, ...] = ()
    timeout_s: float = 600.0

    def __call__(self, tree: Path, hash_seed: int) -> TestRun:
        """Run the tests of `tree` under one hash seed. Raises `UnavailableError` when the sandbox fails."""
        planted = canaries.make()
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
                    readonly=self._packages(),
                    interpreter=self.python,
                )
        finally:
            (tree / planted.file).unlink()
        reports = ledger.read(result.stdout, word)
        return TestRun(reports, planted, self._ended(result), result.stderr, result.wall_s)

    def _packages(self) -> Sequence[Path]:
        """Our own interpreter may find packages outside its environment's folder (through `.pth` files)."""
        if self.python is not None:
            return ()
        found = [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
        return [path for path in found if path.is_dir()]

    def _ended(self, result: CommandResult) -> str:
        if result.status is Status.WALL:
            return f"more than {self.timeout_s:g} s"
        if result.truncated:
            return f"more than {OUTPUT_BYTES // MIB} MiB of output"
        if result.status is Status.SIGNAL:
            return f"killed by signal {(result.returncode or 128) - 128}"
        return ""


def check_base(run: TestRun, python: str | None) -> None:
    """Raise `UsageError` when base's run shows that this project's tests cannot be judged at all."""
    reports = run.reports
    if run.ended:
        raise UsageError(
            f"the tests of the base commit did not finish ({run.ended}): raise --timeout, or choose some "
            "with --tests"
        )
    if not reports.started:
        said = (run.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(
            f"pytest does not start under {python or sys.executable} ({said}): install pytest and the "
            "project's dependencies there, or name their interpreter with --python"
        )
    if reports.uncollected:
        first, text = next(iter(reports.uncollected.items()))
        last = (text.strip().splitlines() or [""])[-1]
        raise UsageError(
            f"{first} cannot be collected on the base commit ({last}): mend it, install what it needs for "
            "--python, or choose other tests with --tests"
        )
    if any(reports.outcomes.get(canary) != "failed" for canary in run.canaries.ids):
        said = (run.stderr.strip().splitlines() or ["pytest said nothing"])[-1]
        raise UsageError(
            "tests that must fail were not reported as failed on the base commit, so no failure could be "
            f"seen: pytest ended with status {reports.status} ({said[:200]}); check the pytest settings"
        )
