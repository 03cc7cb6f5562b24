"""Run many jobs in the sandbox while its processes are killed.

    python benchmarks/sandbox_soak.py                     # 20,000 jobs, about a minute on 2 cores
    python benchmarks/sandbox_soak.py --jobs 1000000      # about half an hour

Zygotes, candidates and the supervisor itself are killed at random while a batch runs. The right answer of every job is
known beforehand, outside the jail. At the end every job must have exactly one terminal record, and no record may be
wrong. After each supervisor no process may be left running. The last supervisor must have returned every descriptor,
and none may have grown. The kills are real signals from outside; nothing in the sandbox depends on them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# The root comes before this folder, whose modules may hide a package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox.ledger import Ledger, run_batch
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from sandbox.values import Value

LIMITS = Limits(probe_wall_s=5.0, job_wall_s=20.0, cpu_s=10)
ROOT = Path(__file__).resolve().parent.parent
READINGS = 30
"""Readings of a supervisor's memory and descriptors in its life."""
GROWTH_KIB = 4096
"""Largest growth of its memory from the middle third to the last third of its life."""
GONE_S = 20.0
"""Seconds that the processes of a dead supervisor may take to end, on a busy machine."""


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The memory and descriptors of a supervisor after `jobs` jobs."""

    jobs: int
    memory_kib: int
    descriptors: int


@dataclass(slots=True)
class SoakReport:
    """The findings of a soak."""

    jobs: int
    records: int = 0
    wrong: list[str] = field(default_factory=list)
    kills: int = 0
    supervisor_kills: int = 0
    readings: list[list[MemoryReading]] = field(default_factory=list)
    """One list per supervisor."""


def job(number: int) -> Job:
    """Make job `number`: most return a value, some fail.

    Those raise, exit, make a forbidden call, need too much memory or do not compile.
    """
    body = {
        0: "raise ValueError(n)",
        1: "import os; os._exit(0)",
        2: "import os; os.fork()",
        3: "return len(bytearray(8 << 30))",
    }.get(number % 31, "return [n, n * n]")
    source = f"def f(n):\n    {body}\n" if number % 97 else "def f(:\n"
    return Job(Program(source), (Call("f", (number,)),), LIMITS)


def fault(number: int, result: JobResult) -> str:
    """Describe the fault in a job's record, or return an empty text."""
    kinds = {0: Status.EXCEPTION, 1: Status.NO_RESULT, 2: Status.SECCOMP, 3: Status.MEMORY}
    expected = kinds.get(number % 31, Status.OK) if number % 97 else Status.EXCEPTION
    outcome = result.outcomes[0]
    if outcome.status is not expected:
        return f"job {number}: {outcome.status} ({outcome.message}) instead of {expected}"
    if expected is Status.OK and outcome.value != Value.of([number, number * number]):
        return f"job {number}: a wrong value"
    return ""


def soak(jobs: int, seed: int, folder: Path, kill_every: int = 500, sessions: int = 3) -> SoakReport:
    """Run `jobs` in `sessions` supervisors while processes are killed.

    All supervisors but the last are killed halfway.
    """
    report = SoakReport(jobs)
    file = folder / "ledger.jsonl"
    for session in range(sessions):
        goal = jobs * (session + 1) // sessions if session < sessions - 1 else jobs + 1
        numbers = (jobs, seed + session, kill_every, goal, max(1, jobs // sessions // READINGS))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.sandbox_soak", "--session", str(file), *map(str, numbers)],
            stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        killed = done.returncode == -signal.SIGKILL
        report.supervisor_kills += killed
        if done.returncode not in (0, -signal.SIGKILL):
            report.wrong.append(f"the supervisor ended with {done.returncode}")
        _take_report(report, [line.split() for line in done.stdout.splitlines()])
        if not killed and "returned 0" not in done.stdout:
            report.wrong.append("descriptors were not returned: " + done.stdout.rpartition("returned")[2])
        if left := _left(_mark(file)):
            report.wrong.append(f"{len(left)} processes were left running: {left}")
    seen: set[int] = set()
    ledger = Ledger(file)
    ledger.close()
    for number, result in ledger.results():
        report.records += 1
        if number in seen:
            report.wrong.append(f"job {number} has two records")
        seen.add(number)
        if complaint := fault(number, result):
            report.wrong.append(complaint)
    report.wrong += [f"job {number} has no record" for number in range(jobs) if number not in seen]
    return report


def _take_report(report: SoakReport, lines: list[list[str]]) -> None:
    """Add the lines that a supervisor printed, and check its growth."""
    report.kills += sum(words[0] == "kill" for words in lines)
    readings = [MemoryReading(*map(int, words[1:])) for words in lines if words[0] == "reading"]
    report.readings.append(readings)
    third = len(readings) // 3
    if third:
        middle = statistics.median(r.memory_kib for r in readings[third : 2 * third])
        end = statistics.median(r.memory_kib for r in readings[-third:])
        if end - middle > GROWTH_KIB:
            report.wrong.append(f"a supervisor grew from {middle:.0f} to {end:.0f} KiB")


def _mark(file: Path) -> str:
    """Make a path that marks the processes of this soak's jails.

    It is on the command line of each of them, and of no other process.
    """
    return str(file.with_name("jailed-by-soak"))


def _left(mark: str) -> list[int]:
    """List the processes of this soak's jails that outlive `GONE_S`."""
    deadline = time.monotonic() + GONE_S
    while (left := _carrying(mark.encode())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _carrying(mark: bytes) -> list[int]:
    pids = []
    for folder in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it may end meanwhile
            if folder.name.isdigit() and mark in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
    return pids


def session(file: Path, jobs: int, seed: int, kill_every: int, goal: int, read_every: int) -> None:
    """Run one supervisor, and kill processes on the way.

    The supervisor kills itself once `goal` jobs are recorded.
    """
    chance = random.Random(seed)
    ledger = Ledger(file)
    before = _descriptors()
    with Sandbox(path=[Path(_mark(file))]) as box:
        for done, _ in enumerate(run_batch(box, _all(jobs), ledger), 1):
            if len(ledger) >= goal:
                os.kill(os.getpid(), signal.SIGKILL)
            if done % read_every == 0:
                _print_now("reading", done, _memory_kib(), _descriptors())
            if chance.randrange(kill_every) == 0 or done == kill_every // 2:
                victim = chance.choice(_victims(box))
                _print_now("kill", victim)
                with suppress(ProcessLookupError):  # it has ended by itself meanwhile
                    os.kill(victim, signal.SIGKILL)
    _print_now("returned", _descriptors() - before)
    ledger.close()


def _print_now(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _memory_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


def _all(jobs: int) -> Iterator[Job]:
    return (job(number) for number in range(jobs))


def _victims(box: Sandbox) -> list[int]:
    """List the zygotes and their candidates."""
    pids = box.zygotes()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
            pids.extend(int(word) for word in children.split())
        if len(pids) > 40:
            break
    return pids


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs (default: 20,000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the kills (default: 1)")
    parser.add_argument("--kill-every", type=int, default=1000, help="jobs per kill (default: 1,000)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = soak(chosen.jobs, chosen.seed, Path(folder), chosen.kill_every, sessions=5)
    print(
        f"{report.jobs} jobs, {report.records} records, {len(report.wrong)} wrong, {report.kills} processes killed, "
        f"{report.supervisor_kills} supervisors killed, {time.perf_counter() - started:.0f} s"
    )
    for number, readings in enumerate(report.readings):
        for reading in readings[:: max(1, len(readings) // 4)]:
            print(
                f"  supervisor {number}: {reading.jobs:8} jobs {reading.memory_kib / 1024:6.1f} MiB "
                f"{reading.descriptors:3} descriptors"
            )
    for line in report.wrong[:20]:
        print(" ", line)
    raise SystemExit(1 if report.wrong else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--session"]:  # started by `soak`, as a supervisor that may be killed
        session(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        main()
