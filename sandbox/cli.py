"""The commands of `ucoder sandbox`: `doctor` and `run`."""

from __future__ import annotations

import os
import sys
import tokenize
from pathlib import Path

import click

from sandbox import tiers
from sandbox.errors import ArgumentError, ProgramError, SandboxError
from sandbox.host.jail import bubblewrap
from sandbox.host.languages import RUNTIMES
from sandbox.jailed.lockdown import landlock_abi
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Job, Probe, Program, Script


@click.group()
def sandbox() -> None:
    """Run untrusted programs, and test this host's isolation."""


@sandbox.command()
@click.option(
    "--interpreter", help="Python that runs candidates: a path, a command or a virtual environment."
)
def doctor(interpreter: str | None) -> None:
    """Try everything that candidates must not do; show the resulting isolation."""
    click.echo(f"kernel        {os.uname().release} {os.uname().machine}")
    click.echo(f"landlock      {_version(landlock_abi())}")
    try:
        complaint = tiers.namespaces()
        click.echo(f"bubblewrap    {bubblewrap()}")
        click.echo(f"namespaces    {complaint or 'available'}")
        with Sandbox(1, interpreter) as box:
            click.echo(f"tier          {box.tier} ({tiers.DESCRIPTION[box.tier]})")
            for attempt in tiers.attempts(box.run):
                click.echo(
                    f"  {'stopped' if attempt.stopped else 'NOT STOPPED':11}  {attempt.what}: {attempt.how}"
                )
    except SandboxError as error:
        raise click.ClickException(str(error)) from None


def _version(abi: int) -> str:
    return f"version {abi}" if abi else "not in this kernel"


@sandbox.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--call", "calls", multiple=True, help="A call such as 'f(1, [2])'; may be repeated.")
@click.option("--stdin", help="Text for standard input; '-' reads it from this command's own.")
@click.option(
    "--language",
    type=click.Choice(list(RUNTIMES)),
    help="Default: by the extension of FILE; Python without one.",
)
@click.option("--interpreter", help="Python for Python programs: a path, a command or a virtual environment.")
@click.option("--wall", default=2.0, show_default=True, help="Seconds per call or script.")
@click.option("--memory", default=512, show_default=True, help="MiB of memory.")
def run(
    file: Path, calls: tuple[str, ...], stdin: str | None, language: str | None, interpreter: str | None,
    wall: float, memory: int,
) -> None:  # fmt: skip
    """Run FILE in the jail, or its functions with --call."""
    try:
        language = language or _language_of(file)
        if stdin == "-":
            stdin = sys.stdin.read()
        probes = [_read_call(language, text) for text in calls]
        if stdin is not None or not probes:
            probes.append(Script(stdin or ""))
        limits = Limits(
            probe_wall_s=wall, job_wall_s=wall * (len(probes) + 1), memory_bytes=memory * MIB,
            cpu_s=max(1, round(wall * (len(probes) + 1))),
        )  # fmt: skip
        job = Job(Program(_source(file, language), language), tuple(probes), limits)
        with Sandbox(1, interpreter) as box:
            result = box.check([job]).run_one(job)
    except (SandboxError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    _show(result, [*calls, "script"])


def _language_of(file: Path) -> str:
    if not file.suffix:
        return "python"  # scripts often have no extension
    for language, runtime in RUNTIMES.items():
        if file.suffix.lower() in runtime.extensions:
            return language
    known = ", ".join(f"{' '.join(runtime.extensions)} ({name})" for name, runtime in RUNTIMES.items())
    raise ProgramError(
        f"no language has the extension {file.suffix!r}; known: {known}. Name the language with --language"
    )


def _source(file: Path, language: str) -> str:
    """Read a program; the first lines of a Python file may name its encoding."""
    if language != "python":
        return file.read_text(encoding="utf-8")
    try:
        with tokenize.open(file) as opened:
            return opened.read()
    except SyntaxError as error:  # an encoding that does not exist, or is not that of the file
        raise ProgramError(f"{file.name} cannot be read: {error.msg}") from None


def _read_call(language: str, text: str) -> Probe:
    try:
        return RUNTIMES[language].read_call(text)
    except ArgumentError as error:
        raise click.BadParameter(str(error), param_hint="--call") from None


def _show(result: JobResult, names: list[str]) -> None:
    click.echo(f"tier {result.tier}, {result.wall_s * 1000:.1f} ms")
    if result.load.status is not Status.OK:
        click.echo(f"loading: {_ending(result.load)}")
    for name, outcome in zip(names, result.outcomes, strict=False):
        if outcome.stdout:
            click.echo(outcome.stdout, nl=not outcome.stdout.endswith("\n"))
        click.echo(f"{name}: {_ending(outcome)}")
    if any(outcome.status is not Status.OK for outcome in result.outcomes):
        raise SystemExit(1)


def _ending(outcome: Outcome) -> str:
    if outcome.value is not None:
        return outcome.value.text(200)
    return " ".join(part for part in (outcome.status.value, outcome.exception, outcome.message) if part)
