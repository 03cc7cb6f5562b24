"""A batch under fire: zygotes, candidates and the supervisor itself are killed at random while it runs.

Every job's right answer is known beforehand (outside the jail). At the end every job must have exactly one
terminal record, none of them wrong; after each supervisor nothing may be left running, the last one must have
given every descriptor back, and none may have grown. The kills are real signals from outside; nothing in the
sandbox knows of them.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.ledger import Ledger, run_batch
from sandbox.limits import Limits
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from sandbox.values import Value

LIMITS = Limits(probe_wall_s=5.0, job_wall_s=20.0, cpu_s=10)
SAMPLES = 30
"""Looks at a supervisor's memory and descriptors in its life."""
GROWTH_KIB = 4096
"""What its memory may differ between the middle and the last third of its life."""
GONE_S = 20.0
"""Seconds that a dead supervisor's processes may take to be gone, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a supervisor held after `jobs` jobs of its life."""

    jobs: int
    memory_kib: int
    descriptors: int


@dataclass(slots=True)
class SoakReport:
    """What a soak found."""

    jobs: int
    records: int = 0
    wrong: list[str] = field(default_factory=list)
    kills: int = 0
    supervisor_kills: int = 0
    samples: list[list[Sample]] = field(default_factory=list)
    """One list for each supervisor."""


def job(number: int) -> Job:
    """Job `number`: most answer, some raise, leave, break a rule or do not compile."""
    body = {
        0: "raise ValueError(n)",
        1: "import os; os._exit(0)",
        2: "import os; os.fork()",
        3: "return len(bytearray(8 << 30))",
    }.get(number % 31, "return [n, n * n]")
    source = f"def f(n):\n    {body}\n" if number % 97 else "def f(:\n"
    return Job(Program(source), (Call("f", (number,)),), LIMITS)


def fault(number: int, result: JobResult) -> str:
    """Empty when the record is the right one for job `number`."""
    kinds = {0: Status.EXCEPTION, 1: Status.NO_RESULT, 2: Status.SECCOMP, 3: Status.MEMORY}
    expected = kinds.get(number % 31, Status.OK) if number % 97 else Status.EXCEPTION
    outcome = result.outcomes[0]
    if outcome.status is not expected:
        return f"job {number}: {outcome.status} ({outcome.message}) instead of {expected}"
    if expected is Status.OK and outcome.value != Value.of([number, number * number]):
        return f"job {number}: a wrong value"
    return ""


def soak(jobs: int, seed: int, folder: Path, kill_every: int = 500, sessions: int = 3) -> SoakReport:
    """Run `jobs` under fire, in `sessions` supervisors of which all but the last are killed in the middle."""
    report = SoakReport(jobs)
    file = folder / "ledger.jsonl"
    for session in range(sessions):
        goal = jobs * (session + 1) // sessions if session < sessions - 1 else jobs + 1
        numbers = (jobs, seed + session, kill_every, goal, max(1, jobs // sessions // SAMPLES))
        done = subprocess.run(
            [sys.executable, "-m", "sandbox.soak", str(file), *map(str, numbers)],
            stdout=subprocess.PIPE, text=True, check=False, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        killed = done.returncode == -signal.SIGKILL
        report.supervisor_kills += killed
        if done.returncode not in (0, -signal.SIGKILL):
            report.wrong.append(f"the supervisor ended with {done.returncode}")
        _hear(report, [line.split() for line in done.stdout.splitlines()])
        if not killed and "returned 0" not in done.stdout:
            report.wrong.append("descriptors were not given back: " + done.stdout.rpartition("returned")[2])
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


def _hear(report: SoakReport, said: list[list[str]]) -> None:
    """Take in what a supervisor said of itself, and judge whether it grew."""
    report.kills += sum(words[0] == "kill" for words in said)
    samples = [Sample(*map(int, words[1:])) for words in said if words[0] == "sample"]
    report.samples.append(samples)
    third = len(samples) // 3
    if third:
        middle = statistics.median(s.memory_kib for s in samples[third : 2 * third])
        end = statistics.median(s.memory_kib for s in samples[-third:])
        if end - middle > GROWTH_KIB:
            report.wrong.append(f"a supervisor grew from {middle:.0f} to {end:.0f} KiB")


def _mark(file: Path) -> str:
    """A path that stands in the command line of every process of this soak's jails, and in no other."""
    return str(file.with_name("jailed-by-soak"))


def _left(mark: str) -> list[int]:
    """Processes of this soak's jails that are still there after a while."""
    deadline = time.monotonic() + GONE_S
    while (left := _carrying(mark.encode())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _carrying(mark: bytes) -> list[int]:
    pids = []
    for folder in Path("/proc").iterdir():
        with suppress(
            FileNotFoundError, ProcessLookupError, PermissionError
        ):  # it ends while it is looked at
            if folder.name.isdigit() and mark in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
    return pids


def _session(file: Path, jobs: int, seed: int, kill_every: int, goal: int, sample_every: int) -> None:
    """One supervisor's life: kills as it goes, and itself once `goal` jobs are recorded."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible soak, not a secret
    ledger = Ledger(file)
    before = _descriptors()
    with Sandbox(path=[Path(_mark(file))]) as box:
        for done, _ in enumerate(run_batch(box, _all(jobs), ledger), 1):
            if len(ledger) >= goal:
                os.kill(os.getpid(), signal.SIGKILL)
            if done % sample_every == 0:
                _say("sample", done, _memory_kib(), _descriptors())
            if chance.randrange(kill_every) == 0 or done == kill_every // 2:
                victim = chance.choice(_victims(box))
                _say("kill", victim)
                with suppress(ProcessLookupError):  # it has ended by itself meanwhile
                    os.kill(victim, signal.SIGKILL)
    _say("returned", _descriptors() - before)
    ledger.close()


def _say(*words: object) -> None:
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
    """A zygote, or any of its candidates."""
    pids = box.zygotes()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end while it is looked at
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
            pids.extend(int(word) for word in children.split())
        if len(pids) > 40:
            break
    return pids


if __name__ == "__main__":
    _session(Path(sys.argv[1]), *map(int, sys.argv[2:]))
