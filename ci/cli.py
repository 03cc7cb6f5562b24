"""Define the command `ucoder gate`: arguments, reports and exit code.

`ci.gate` does the work.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ci.errors import GateError, UsageError
from ci.gate import GateResult, Request, run_gate
from ci.patch.worktrees import top_level
from ci.reports.junit import write_junit
from ci.reports.result import as_data
from ci.reports.summary import summary_text
from ci.verdict import ExitCode, Intent

REPORTS = ("accepted.patch", "junit.xml", "summary.md", "result.json")

_EPILOG = """\
Exit codes: 0 accepted, 1 rejected, 2 usage, 3 abstained, 4 sandbox unavailable, 5 tampering; only 0 may merge.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--base", required=True, metavar="REF", help="Commit that the patches are made against.")
@click.option(
    "--patch",
    "named",
    multiple=True,
    metavar="FILE",
    help="A proposed patch; give one or more.",
)
@click.argument("more", nargs=-1, metavar="[FILE]...")
@click.option("--repo", default=".", show_default=True, metavar="DIR", help="The git repository.")
@click.option(
    "--out", metavar="DIR", help="Folder for result.json, accepted.patch, junit.xml and summary.md."
)
@click.option(
    "--tests", multiple=True, metavar="PATH", help="Tests to run (path or pytest id); all by default."
)
@click.option(
    "--reproduce",
    multiple=True,
    metavar="FILE",
    help="Test file that fails on base and must pass with a patch.",
)
@click.option("--protect", multiple=True, metavar="GLOB", help="Further paths that need human review.")
@click.option(
    "--intent",
    type=click.Choice([str(intent) for intent in Intent]),
    default=str(Intent.CHANGE),
    show_default=True,
    help="preserve: a refactoring; one patch that behaves like base on every input is accepted.",
)
@click.option("--python", metavar="PATH", help="Interpreter or virtual environment that runs the tests.")
@click.option(
    "--timeout", default=600.0, show_default=True, type=click.FloatRange(min=1), help="Seconds per test run."
)
@click.option("--json", "as_json", is_flag=True, help="Print result.json instead of the summary.")
def gate(
    base: str,
    named: tuple[str, ...],
    more: tuple[str, ...],
    repo: str,
    out: str | None,
    tests: tuple[str, ...],
    reproduce: tuple[str, ...],
    protect: tuple[str, ...],
    intent: str,
    python: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Judge proposed patches: accept one only on consensus.

    At least three distinct patches must agree, else the gate abstains. Every patch runs in the sandbox; its behaviour
    is compared outside. Example:

    \b
      ucoder gate --base main --patch a.patch b.patch c.patch --out gate-report
    """
    try:
        folder = _folder(out)
        top = top_level(Path(repo))
        request = Request(
            repository=Path(repo),
            base=base,
            patches=_read_patches((*named, *more)),
            tests=tuple(_test_argument(top, Path(repo), test) for test in tests),
            reproduce=tuple(_reproduction(top, Path(repo), file) for file in reproduce),
            protect=protect,
            python=python,
            timeout_s=timeout,
            intent=Intent(intent),
        )
        result = run_gate(request, lambda line: click.echo(line, err=True))
        if folder is not None:
            _write(folder, result)
        if as_json:
            click.echo(json.dumps(as_data(result), indent=2))
        else:
            click.echo(summary_text(result), nl=False)
    except GateError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (Exception, KeyboardInterrupt):
        # Python's own exit code for an exception is 1, which here means that the patches were rejected.
        traceback.print_exc()
        sys.exit(ExitCode.UNAVAILABLE)
    sys.exit(result.verdict.exit_code)


def _read_patches(files: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    found: dict[str, bytes] = {}
    for file in files:
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise UsageError(f"the patch {file} cannot be read ({error.strerror})") from error
        # Two folders may hold files of one name; then the whole path is the name.
        name = Path(file).name if Path(file).name not in found else file
        if name in found:
            raise UsageError(f"the patch {file} is given twice: give every patch once")
        found[name] = data
    return tuple(found.items())


def _test_argument(top: Path, repository: Path, test: str) -> str:
    """Make a path or test id relative to the repository's top.

    One that does not exist is kept: pytest reports it.
    """
    if test.startswith("-"):
        raise UsageError(f"--tests takes paths and test ids, not options of pytest: {test}")
    path, separator, name = test.partition("::")
    found = _found(top, repository, path)
    return f"{found or path}{separator}{name}"


def _reproduction(top: Path, repository: Path, file: str) -> tuple[str, bytes]:
    """Read a test file, committed or not: path in the tree, content."""
    found = _found(top, repository, file)
    if found is None:
        if any((start / file).exists() for start in (Path.cwd(), repository, top)):
            raise UsageError(
                f"{file} lies outside the repository: move it to where pytest finds it, then name it"
            )
        raise UsageError(f"the test file {file} cannot be read (there is no such file)")
    try:
        return found, (top / found).read_bytes()
    except OSError as error:
        raise UsageError(f"the test file {file} cannot be read ({error.strerror})") from error


def _found(top: Path, repository: Path, name: str) -> str | None:
    """The path of a file, relative to the repository's top.

    `name` is relative to the current folder, to --repo or to the top.
    """
    for start in (Path.cwd(), repository, top):
        path = (start / name).resolve()
        if path.exists() and path.is_relative_to(top):
            return path.relative_to(top).as_posix()
    return None


def _folder(out: str | None) -> Path | None:
    """Make the report folder, and delete earlier reports in it.

    This comes first, so that a wrong path ends the run before any work.
    """
    if out is None:
        return None
    folder = Path(out)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in REPORTS:
            (folder / old).unlink(missing_ok=True)
    return folder


def _write(folder: Path, result: GateResult) -> None:
    """Write the reports aside, then move each in place; result.json comes last."""
    with _writing(folder), tempfile.TemporaryDirectory(prefix=".ucoder-", dir=folder) as aside:
        ready = Path(aside)
        winner = result.verdict.winner
        if winner is not None:
            accepted = result.examined[winner].patch
            assert accepted is not None, "the winner was parsed"
            (ready / "accepted.patch").write_bytes(accepted.data)
        write_junit(result, str(ready / "junit.xml"))
        (ready / "summary.md").write_text(summary_text(result), encoding="utf-8", errors="backslashreplace")
        data = json.dumps(as_data(result), indent=2)
        (ready / "result.json").write_text(data + "\n", encoding="utf-8")
        for name in REPORTS:
            if (ready / name).exists():
                (ready / name).replace(folder / name)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn failures to write into `UsageError`."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"reports cannot be written to {folder} ({error.strerror}): free space, or name another folder with --out"
        ) from error
