"""`ucoder sandbox`: what this host allows, and running a file in the jail."""

from __future__ import annotations

import ast
import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from sandbox.errors import SandboxError
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.program import Call, Expression, Job, Probe, Program, Script


@click.group()
def sandbox() -> None:
    """Run untrusted programs, and see how well this host isolates them."""


@sandbox.command()
@click.option("--interpreter", help="Python to run candidates with (path, command or virtual environment).")
def doctor(interpreter: str | None) -> None:
    """Try everything a candidate must not be able to do, and say which isolation results."""
    from sandbox import tiers
    from sandbox.host import jail
    from sandbox.pool import Sandbox

    click.echo(f"kernel        {os.uname().release} {os.uname().machine}")
    click.echo(f"landlock      {_version(tiers.landlock_here())}")
    try:
        complaint = tiers.namespaces()
        click.echo(f"bubblewrap    {jail.bubblewrap()}")
        click.echo(f"namespaces    {complaint or 'available'}")
        with Sandbox(1, interpreter) as box:
            click.echo(f"tier          {box.tier} ({tiers.DESCRIPTION[box.tier]})")
            for attempt in tiers.attempts(box):
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
@click.option("--stdin", help="Text for standard input ('-': from this command's own).")
@click.option("--interpreter", help="Python to run it with (path, command or virtual environment).")
@click.option("--wall", default=2.0, show_default=True, help="Seconds for each call or script.")
@click.option("--memory", default=512, show_default=True, help="MiB of address space.")
def run(
    file: Path, calls: tuple[str, ...], stdin: str | None, interpreter: str | None, wall: float, memory: int
) -> None:
    """Run FILE in the jail: as a script, or its functions with --call."""
    from sandbox.pool import Sandbox

    try:
        if stdin == "-":
            stdin = sys.stdin.read()
        probes: list[Probe] = [_call(text) for text in calls]
        if stdin is not None or not probes:
            probes.append(Script(stdin or ""))
        limits = Limits(
            probe_wall_s=wall, job_wall_s=wall * (len(probes) + 1), memory_bytes=memory * MIB,
            cpu_s=max(1, round(wall * (len(probes) + 1))),
        )  # fmt: skip
        job = Job(Program(file.read_text(encoding="utf-8")), tuple(probes), limits)
        with Sandbox(1, interpreter) as box:
            result = box.check([job]).run_one(job)
    except (SandboxError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    _show(result, [*calls, "script"])


def _call(text: str) -> Probe:
    """A call with literal arguments becomes a `Call` (its effect on them is shown); others an expression."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise click.BadParameter(
            f"{text!r} is not a Python expression: {error.msg}", param_hint="--call"
        ) from None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        named = {k.arg: k.value for k in node.keywords if k.arg is not None}
        with suppress(ValueError, TypeError):
            if len(named) == len(node.keywords):  # no `**`
                args = tuple(ast.literal_eval(arg) for arg in node.args)
                return Call(node.func.id, args, {name: ast.literal_eval(arg) for name, arg in named.items()})
    return Expression(text)


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
