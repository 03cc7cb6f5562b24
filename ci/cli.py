"""`ucoder gate`: arguments in, exit code and reports out. The work is in `ci.gate`."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ci import gate as gate_flow
from ci.errors import GateError, UsageError
from ci.patch.worktrees import top_level
from ci.reports import junit, result, summary
from ci.verdict import ExitCode, Intent

REPORTS = ("accepted.patch", "junit.xml", "summary.md", "result.json")

_EPILOG = """\
Exit codes: 0 accepted, 1 rejected, 2 usage, 3 abstained, 4 sandbox unavailable, 5 tampering; only 0 may merge.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--base", required=True, metavar="REF", help="Commit that the patches are made against.")
@click.option("--patch", "named", multiple=True, metavar="FILE", help="A proposed patch; give several.")
@click.argument("more", nargs=-1, metavar="[FILE]...")
@click.option("--repo", default=".", show_default=True, metavar="DIR", help="The git repository.")
@click.option(
    "--out", metavar="DIR", help="Where to write result.json, accepted.patch, junit.xml, summary.md."
)
@click.option("--tests", multiple=True, metavar="PATH", help="Tests to run (path or pytest id); default all.")
@click.option(
    "--reproduce",
    multiple=True,
    metavar="FILE",
    help="Test file that fails on base and must pass with a patch.",
)
@click.option("--protect", multiple=True, metavar="GLOB", help="Further paths that only a person may change.")
@click.option(
    "--intent",
    type=click.Choice([str(intent) for intent in Intent]),
    default=str(Intent.CHANGE),
    show_default=True,
    help="preserve: the patches must behave like base on every input (refactoring); then one suffices.",
)
@click.option("--python", metavar="PATH", help="Interpreter or virtual environment that runs the tests.")
@click.option(
    "--timeout", default=600.0, show_default=True, type=click.FloatRange(min=1), help="Seconds a test run."
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
    """Judge proposed patches: accept one on consensus of at least three, abstain otherwise.

    Every patch runs in the sandbox; behaviour is compared outside of it. Example:

    \b
      ucoder gate --base main --patch a.patch b.patch c.patch --out gate-report
    """
    try:
        folder = _folder(out)
        top = top_level(Path(repo))
        request = gate_flow.Request(
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
        outcome = gate_flow.run(request, lambda line: click.echo(line, err=True))
        if folder is not None:
            _write(folder, outcome)
        if as_json:
            click.echo(json.dumps(result.as_data(outcome), indent=2))
        else:
            click.echo(summary.text(outcome), nl=False)
    except GateError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (Exception, KeyboardInterrupt):
        # Python's own code for an exception is 1, which here means that a patch was judged and rejected.
        traceback.print_exc()
        sys.exit(ExitCode.UNAVAILABLE)
    sys.exit(outcome.verdict.exit_code)


def _read_patches(files: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    found: dict[str, bytes] = {}
    for file in files:
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise UsageError(f"the patch {file} cannot be read ({error.strerror})") from error
        # Two folders may hold files of one name; the whole path tells them apart.
        name = Path(file).name if Path(file).name not in found else file
        if name in found:
            raise UsageError(f"the patch {file} is given twice: give every patch once")
        found[name] = data
    return tuple(found.items())


def _test_argument(top: Path, repository: Path, test: str) -> str:
    """A path or test id as pytest takes it in the tree's root; one that is not there is left to pytest."""
    if test.startswith("-"):
        raise UsageError(f"--tests takes paths and test ids, not options of pytest: {test}")
    path, separator, name = test.partition("::")
    found = _found(top, repository, path)
    return f"{found or path}{separator}{name}"


def _reproduction(top: Path, repository: Path, file: str) -> tuple[str, bytes]:
    """A file of the repository's folder (it need not be committed): its path in the tree, and its content."""
    found = _found(top, repository, file)
    if found is None:
        if any((start / file).exists() for start in (Path.cwd(), repository, top)):
            raise UsageError(
                f"{file} lies outside the repository: put it where pytest finds it, then name it"
            )
        raise UsageError(f"the test file {file} cannot be read (there is no such file)")
    try:
        return found, (top / found).read_bytes()
    except OSError as error:
        raise UsageError(f"the test file {file} cannot be read ({error.strerror})") from error


def _found(top: Path, repository: Path, name: str) -> str | None:
    """The path from the repository's top of what a person names from where they are, or from --repo."""
    for start in (Path.cwd(), repository, top):
        path = (start / name).resolve()
        if path.exists() and path.is_relative_to(top):
            return path.relative_to(top).as_posix()
    return None


def _folder(out: str | None) -> Path | None:
    """The report folder, made before the work so that a wrong path costs nothing."""
    if out is None:
        return None
    folder = Path(out)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in REPORTS:
            (folder / old).unlink(missing_ok=True)
    return folder


def _write(folder: Path, outcome: gate_flow.Outcome) -> None:
    """Write the reports aside, then move them in place: result.json last, and never a part of any."""
    with _writing(folder), tempfile.TemporaryDirectory(prefix=".ucoder-", dir=folder) as aside:
        ready = Path(aside)
        winner = outcome.verdict.winner
        if winner is not None:
            accepted = outcome.examined[winner].patch
            assert accepted is not None, "a winner parsed"
            (ready / "accepted.patch").write_bytes(accepted.data)
        junit.write(outcome, str(ready / "junit.xml"))
        (ready / "summary.md").write_text(summary.text(outcome), encoding="utf-8", errors="backslashreplace")
        data = json.dumps(result.as_data(outcome), indent=2)
        (ready / "result.json").write_text(data + "\n", encoding="utf-8")
        for name in REPORTS:
            if (ready / name).exists():
                (ready / name).replace(folder / name)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"reports cannot be written to {folder} ({error.strerror}): make room or name another folder with --out"
        ) from error
