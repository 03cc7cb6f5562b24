"""The isolation that this host offers, tested and not assumed.

Tier 1: bubblewrap, namespaces, Landlock, seccomp, limits and a dedicated user. Tier 2: no namespaces (some containers
forbid them), but Landlock of at least version 6, seccomp and limits. Tier 2 is labelled in every result; it is enough
to rank completions, never to feed the trainer or to accept a patch. Below tier 2 nothing runs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sandbox.errors import SandboxUnavailable
from sandbox.host.jail import base_arguments, bubblewrap
from sandbox.jailed.lockdown import landlock_abi
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Status
from sandbox.program import Expression, Job, Program

Runner = Callable[[Sequence[Job]], Sequence[JobResult]]
"""Runs jobs in the jails to be tested; results in the order of the jobs."""

TIER_2_LANDLOCK = 6
"""The lowest version of Landlock with which tier 2 isolates."""
DESCRIPTION = {
    1: "full: namespaces, Landlock, seccomp, limits, dedicated user",
    2: "reduced: no namespaces; for ranking completions only",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One forbidden action of a test program, and how it ended."""

    what: str
    source: str
    stopped: bool = False
    how: str = ""


FORBIDDEN = (
    Attempt("read a forbidden file", "open('/etc/passwd').read()"),
    Attempt("list the root folder of the host", "__import__('os').listdir('/home')"),
    Attempt("write a file", "open('/tmp/ucoder-probe', 'w').write('x')"),
    Attempt("open a socket", "__import__('_socket').socket()"),
    Attempt("fork", "__import__('os').fork()"),
    Attempt("run a program", "__import__('os').execv('/bin/true', ['true'])"),
    Attempt("make a user namespace", "__import__('ctypes').CDLL(None).unshare(0x10000000)"),
)


@lru_cache(maxsize=1)
def namespaces() -> str:
    """Build a jail with bubblewrap.

    Returns its error message, or the empty string.
    """
    command = [*base_arguments(()), "--", "/lib64/ld-linux-x86-64.so.2", "--version"]
    if os.uname().machine != "x86_64":
        command[-2] = "/lib/ld-linux-aarch64.so.1"
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env={})
    return "" if done.returncode == 0 else (done.stderr.strip() or f"bwrap exited with {done.returncode}")


def choose_tier(lowest: int) -> int:
    """Find the best tier of this host.

    Raises `SandboxUnavailable` when it is weaker than `lowest`.
    """
    bubblewrap()
    complaint = namespaces()
    if not complaint:
        return 1
    if lowest >= 2 and landlock_abi() >= TIER_2_LANDLOCK:
        return 2
    raise SandboxUnavailable(
        f"bubblewrap cannot build a jail on this host ({complaint}). Allow unprivileged user namespaces "
        "(or, in a container, start it with them), then check with `ucoder sandbox doctor`"
    )


def attempts(run: Runner) -> list[Attempt]:
    """Try every forbidden action in the jails that candidates will use."""
    limits = Limits(probe_wall_s=5.0, job_wall_s=20.0)
    jobs = [Job(Program(""), (Expression(a.source),), limits) for a in FORBIDDEN]
    tried = []
    for attempt, result in zip(FORBIDDEN, run(jobs), strict=True):
        outcome = result.outcomes[0]
        stopped = outcome.status in (Status.SECCOMP, Status.EXCEPTION) and result.load.status is Status.OK
        how = outcome.exception or outcome.status.value
        tried.append(Attempt(attempt.what, attempt.source, stopped, f"{how}: {outcome.message}".rstrip(": ")))
    return tried


def prove(run: Runner) -> None:
    """Test at start-up that the jails run programs and stop attacks.

    Raises `SandboxUnavailable` otherwise.
    """
    trivial = Job(Program("x = 6"), (Expression("x * 7"),), Limits(probe_wall_s=5.0, job_wall_s=20.0))
    works = run([trivial])[0]
    value = works.outcomes[0].value
    if value is None or value.python() != 42:
        raise SandboxUnavailable(
            f"the jail cannot run even a trivial program ({works.load.status}: {works.load.message}). Run "
            "`ucoder sandbox doctor`"
        )
    not_stopped = [a for a in attempts(run) if not a.stopped]
    if not_stopped:
        names = "; ".join(f"{a.what} ({a.how or 'worked'})" for a in not_stopped)
        raise SandboxUnavailable(
            f"the jail does not isolate: a program can {names}. Nothing will be run here"
        )
