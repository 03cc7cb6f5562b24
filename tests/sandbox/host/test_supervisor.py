"""Test that every job is answered exactly once, whatever fails.

Processes die, and descriptors run out.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from sandbox.errors import SandboxUnavailable
from sandbox.host import jail
from sandbox.host.job_run import JobRun
from sandbox.host.worker import Worker
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job, Program
from sandbox.values import Value
from tests.sandbox.helpers import supervisor_of


def test_a_job_that_cannot_be_sent_ends_as_infra_and_others_continue(
    tier_1: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = JobRun.begin

    def failing(run: JobRun) -> bytes:
        if run.job.program.source == "bad":
            raise ValueError("it cannot be written")
        return begin(run)

    monkeypatch.setattr(JobRun, "begin", failing)
    jobs = [Job(Program(source), (Expression("1"),)) for source in ("x = 1", "bad", "x = 2")]
    first, bad, last = tier_1.run(jobs)
    assert (bad.load.status, bad.outcomes[0].status) == (Status.INFRA, Status.INFRA)
    assert "it cannot be written" in bad.load.message
    assert first.outcomes[0].value == last.outcomes[0].value == Value.of(1)


@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("what", ["socketpair", "Popen"])
def test_running_out_of_descriptors_is_survived(
    what: str, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = count(failures, -1)

    def exhausted(*arguments: object, **options: object) -> object:
        if next(left) > 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*arguments, **options)

    with Sandbox(1, prefork=1) as box:
        if what == "Popen":
            real: Callable[..., object] = subprocess.Popen
            monkeypatch.setattr(jail.subprocess, "Popen", exhausted)
            (zygote,) = box.zygotes()
            os.kill(zygote, signal.SIGKILL)
            assert ends(zygote)
        else:
            real = socket.socketpair
            monkeypatch.setattr(socket, "socketpair", exhausted)
        results = box.run([Job(Program("def f(): return 1"), (Call("f"),))] * 6)
        assert [r.outcomes[0].value for r in results] == [Value.of(1)] * 6
    assert next(left) < 1


@pytest.mark.slow
def test_pauses_grow_while_a_jail_cannot_be_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts, steps = [], []

    def failing(config: object) -> Worker:
        attempts.append(config)
        raise SandboxUnavailable("no jail today")

    with Sandbox(1) as box:
        step = supervisor_of(box)._step
        monkeypatch.setattr(supervisor_of(box), "_step", lambda: steps.append(step()))
        monkeypatch.setattr(Worker, "start", failing)
        os.kill(box.zygotes()[0], signal.SIGKILL)
        time.sleep(1.0)
        assert 0 < len(attempts) < 10
        assert len(steps) < 100
        answered = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
        assert (answered.load.status, answered.load.message) == (Status.INFRA, "no jail today")
        monkeypatch.undo()
        answered = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
        assert answered.outcomes[0].value == Value.of(1)


def test_closing_while_a_job_runs_works_without_a_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Sandbox(1)
    wake = supervisor_of(box)._wake
    with ThreadPoolExecutor(1) as other:
        running = other.submit(box.run_one, Job(Program("import time\ntime.sleep(5)"), ()))
        while not box.busy():
            time.sleep(0.001)

        def late() -> None:
            supervisor_of(box).thread.join(0.3)  # its own deadlines wake it
            wake()

        monkeypatch.setattr(supervisor_of(box), "_wake", late)
        box.close()
        assert running.result().load.status is Status.INFRA
    box.close()  # closing twice is allowed


def test_a_job_submitted_while_closing_is_refused_or_answered() -> None:
    for _ in range(5):
        box = Sandbox(1)

        def submit(box: Sandbox = box) -> list[Status]:
            answers: list[Status] = []
            job = Job(Program("def f(): return 1"), (Call("f"),))
            with pytest.raises(SandboxUnavailable, match="closed"):
                answers.extend(box.run_one(job).outcomes[0].status for _ in count())
            return answers

        with ThreadPoolExecutor(4) as others:
            threads = [others.submit(submit) for _ in range(4)]
            time.sleep(0.05)
            closers = [others.submit(box.close) for _ in range(2)]
            box.close()
            answers = {status for thread in threads for status in thread.result(timeout=30)}
            assert Status.OK in answers
            assert answers <= {Status.OK, Status.INFRA}
            for closer in closers:
                closer.result(timeout=30)


def test_results_are_delivered_before_children_are_forked_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fork = Worker.fork

    def forking(worker: Worker, count: int = 1, ahead: bool = False) -> bool:
        happened.extend(["forked ahead"] * ahead)
        return fork(worker, count, ahead)

    jobs = [Job(Program("def f(): return 1"), (Call("f"),)) for _ in range(6)]
    with Sandbox(1, prefork=3) as box:
        supervisor = supervisor_of(box)
        monkeypatch.setattr(Worker, "fork", forking)
        deliver = supervisor._deliver

        def delivering() -> None:
            happened.extend(["delivered"] * len(supervisor.finished))
            deliver()

        monkeypatch.setattr(supervisor, "_deliver", delivering)
        assert all(result.outcomes[0].status is Status.OK for result in box.run(jobs))
        assert box.run([]) == []
        (worker,) = supervisor.workers.values()
        waited_until = time.monotonic() + 20
        while len(worker.ready) < 3 and time.monotonic() < waited_until:
            time.sleep(0.001)
        assert len(worker.ready) == 3
    assert happened[:6] == ["delivered"] * 6
    assert "forked ahead" in happened[6:]


def test_jobs_survive_the_death_of_zygotes(tier_1: Sandbox) -> None:
    jobs = [Job(Program(f"def f(): return {n}"), (Call("f"),)) for n in range(300)]
    results = {}
    for done, (index, result) in enumerate(tier_1.stream(iter(jobs))):
        assert index not in results
        results[index] = result.outcomes[0].value
        if done % 60 == 30:
            with suppress(ProcessLookupError):  # it may have just died and is being replaced
                os.kill(random.choice(tier_1.zygotes()), signal.SIGKILL)
    assert results == {n: Value.of(n) for n in range(300)}


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("jobs", [0, 1, 6])
@pytest.mark.slow
def test_a_stopped_zygote_is_replaced_and_its_jobs_answered(jobs: int) -> None:
    with Sandbox(1, prefork=1) as box:
        (zygote,) = box.zygotes()
        os.kill(zygote, signal.SIGSTOP)
        limits = Limits(probe_wall_s=0.5, job_wall_s=1)
        results = box.run([Job(Program("def f(): return 1"), (Call("f"),), limits)] * jobs)
        assert {r.outcomes[0].status for r in results} <= {Status.OK, Status.WALL, Status.INFRA}
        if jobs:
            assert ends(zygote)
            good = box.run_one(Job(Program("x = 1"), (Expression("x"),)))
            assert good.outcomes[0].value == Value.of(1)
    assert ends(zygote)


def test_nothing_is_left_when_the_supervisor_is_killed() -> None:
    program = (
        "from sandbox.pool import Sandbox\nfrom sandbox.program import *\nimport sys\n"
        "box = Sandbox(2)\nprint(*box.zygotes(), flush=True)\n"
        "box.run([Job(Program('while True: pass'), ())] * 8)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    zygotes = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.2)
    process.kill()
    process.wait()
    process.stdout.close()
    assert all(map(ends, zygotes))


@pytest.mark.slow
def test_a_stopped_zygote_of_tier_2_dies_with_its_supervisor(tier_2: Sandbox) -> None:
    program = "import time\nfrom sandbox.pool import Sandbox\nbox = Sandbox(1, force_tier=2)\n"
    program += "print(*box.zygotes(), flush=True)\ntime.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    zygote = int(process.stdout.readline())
    os.kill(zygote, signal.SIGSTOP)
    process.kill()
    process.wait()
    process.stdout.close()
    assert ends(zygote)


def test_pages_of_the_zygote_are_copied_before_a_request() -> None:
    """Count the pages that a request copies.

    Forking ahead leaves pages shared: 32 were copied during a request before, 11 are now.
    """

    def faults(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])

    counted = []
    with Sandbox(1, prefork=8) as box:
        (zygote,) = box.zygotes()
        for n in range(21):
            time.sleep(0.05)  # it forks ahead
            before = faults(zygote)
            box.run([Job(Program(f"# {n} {k}\ndef f(): return {k}"), (Call("f"),)) for k in range(8)])
            counted.append(faults(zygote) - before)
    assert sorted(counted)[10] < 22
