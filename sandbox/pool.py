"""The sandbox as its callers see it: jobs in, one result for each, from synchronous code, asyncio, or as a stream."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sandbox.errors import ProgramError, SandboxError, SandboxUnavailable
from sandbox.host import node as javascript
from sandbox.host.interpreter import locate
from sandbox.host.jail import WARM, JailConfig
from sandbox.host.job_run import Run
from sandbox.host.supervisor import Supervisor
from sandbox.host.wire import Encoded, EncodedProbes, check_probes
from sandbox.outcome import JobResult, Status
from sandbox.program import Call, Job, Probe, Program

IN_FLIGHT = 256
"""Jobs that `stream` keeps in the sandbox at a time, so that a batch of any length needs little memory."""

LANGUAGES = "python, javascript"
COMPILE = {
    "python": "def check(source):\n    compile(source, '<program>', 'exec')\n",
    "javascript": "function check(source) { new (require('vm').Script)(source); }",
}
"""For each language, a program that compiles another and does not run it."""


class Sandbox:
    """A pool of jails. Use as a context manager (`with` or `async with`); safe to use from several threads.

    `workers`: jails, one zygote each (default: the number of CPUs). `interpreter`: Python to run candidates
    with: a path, a command or a virtual environment's folder (default: this one). `readable`: further host
    paths that candidates may read. `path`: folders for their `sys.path`. `prefork`: children kept waiting in
    each jail, locked before a request arrives. `lowest_tier`: refuse hosts whose isolation is weaker (1 full,
    2 without namespaces; see `sandbox.tiers`). `hash_seed`: PYTHONHASHSEED of the candidates.
    `force_tier`: this tier though the host may offer a better one (to test it).

    Raises `SandboxUnavailable` where this host cannot isolate programs, and `InterpreterMissing`.
    """

    def __init__(
        self,
        workers: int | None = None,
        interpreter: str | None = None,
        *,
        readable: Sequence[Path] = (),
        path: Sequence[Path] = (),
        warm: Sequence[str] = WARM,
        prefork: int = 4,
        lowest_tier: int = 2,
        hash_seed: int = 0,
        force_tier: int | None = None,
    ) -> None:
        from sandbox.tiers import choose_tier

        count = workers if workers is not None else len(os.sched_getaffinity(0))
        if count < 1 or prefork < 1:
            raise SandboxError("workers and prefork must be at least 1")
        python = locate(interpreter)
        self.tier = force_tier if force_tier is not None else choose_tier(lowest_tier)
        self._encoded: dict[int, tuple[tuple[Probe, ...], Encoded]] = {}
        config = JailConfig(python, self.tier, hash_seed, tuple(warm), tuple(readable), tuple(path))
        self._nodes = javascript.Nodes(count)
        self._supervisor = Supervisor(config, count, prefork)
        try:
            from sandbox.tiers import prove

            prove(self)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------ running

    def run_one(self, job: Job) -> JobResult:
        """Run one job and wait for its result."""
        return self.run([job])[0]

    def check(self, jobs: Iterable[Job]) -> Sandbox:
        """Raise the typed error for the first job that could not be run at all; returns the sandbox itself.

        A program is compiled in the jail, since compiling can be an attack of its own. `ArgumentError`: a
        probe carries something that is not plain data. `ProgramError`: the program does not compile.
        """
        for job in jobs:
            self._prepare(job)
            compiler = Program(COMPILE[job.program.language], job.program.language)
            compiling = Job(compiler, (Call("check", (job.program.source,)),), job.limits)
            compiled = self.run_one(compiling).outcomes[0]
            if compiled.status is not Status.OK:
                reason = compiled.message or compiled.exception or compiled.status.value
                raise ProgramError(f"the program does not compile: {reason}")
        return self

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs, in parallel; results in the order of the jobs.

        Raises `ArgumentError` or `ProgramError` before any of them runs.
        """
        prepared = [self._prepare(job) for job in jobs]
        results: list[JobResult | None] = [None] * len(prepared)
        missing = len(prepared)
        counting = threading.Lock()  # other languages finish in threads of their own
        all_there = threading.Event()

        def put(index: int) -> Callable[[JobResult], None]:
            def finished(result: JobResult) -> None:
                nonlocal missing
                results[index] = result
                with counting:
                    missing -= 1
                    if not missing:
                        all_there.set()  # woken once: each time costs as much as a candidate's answers

            return finished

        if prepared:
            self._submit([Run(*p, self.tier, put(i)) for i, p in enumerate(prepared)])
            all_there.wait()
        return [r for r in results if r is not None]

    async def arun(
        self, jobs: Sequence[Job], on_progress: Callable[[int, JobResult], None] | None = None
    ) -> list[JobResult]:
        """Like `run`, for asyncio. `on_progress(index, result)` is called in the loop as each job ends.

        Cancelling it ends the candidates that run and forgets those that wait.
        """
        loop = asyncio.get_running_loop()
        prepared = [self._prepare(job) for job in jobs]
        futures: list[asyncio.Future[JobResult]] = [loop.create_future() for _ in prepared]

        def settle(index: int, result: JobResult) -> None:
            if not futures[index].done():
                futures[index].set_result(result)
                if on_progress is not None:
                    on_progress(index, result)

        def put(index: int) -> Callable[[JobResult], None]:
            def finished(result: JobResult) -> None:
                with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                    loop.call_soon_threadsafe(settle, index, result)

            return finished

        runs = [Run(*p, self.tier, put(i)) for i, p in enumerate(prepared)]
        self._submit(runs)
        try:
            return list(await asyncio.gather(*futures))
        except asyncio.CancelledError:
            self._supervisor.abandon(runs)
            raise

    def stream(self, jobs: Iterable[Job], in_flight: int = IN_FLIGHT) -> Iterator[tuple[int, JobResult]]:
        """Run a batch of any length, lazily: yields (index, result) as jobs end, in the order they end.

        At most `in_flight` jobs are read ahead from `jobs`, so memory does not grow with the batch. A job that
        cannot be run ends the batch with its error, after the results of all jobs before it.
        """
        if in_flight < 1:
            raise SandboxError(f"in_flight must be at least 1, not {in_flight}")
        done: queue.SimpleQueue[tuple[int, JobResult]] = queue.SimpleQueue()

        def put(index: int) -> Callable[[JobResult], None]:
            return lambda result: done.put((index, result))

        waiting = 0
        refused: SandboxError | None = None
        for index, job in enumerate(jobs):
            try:
                self._submit([Run(*self._prepare(job), self.tier, put(index))])
            except SandboxError as error:
                refused = error
                break
            waiting += 1
            while waiting >= in_flight or not done.empty():
                yield done.get()
                waiting -= 1
        for _ in range(waiting):
            yield done.get()
        if refused is not None:
            raise refused

    async def astream(
        self, jobs: Iterable[Job], in_flight: int = IN_FLIGHT
    ) -> AsyncIterator[tuple[int, JobResult]]:
        """`stream` for asyncio."""
        batch = self.stream(jobs, in_flight)
        while (item := await asyncio.to_thread(next, batch, None)) is not None:
            yield item

    def _submit(self, runs: list[Run]) -> None:
        """Hand runs to what drives their language: the zygotes for Python, a thread each for others."""
        for run in runs:
            if run.job.program.language == "javascript":
                self._nodes.submit(run)
        self._supervisor.submit([run for run in runs if run.job.program.language == "python"])

    def _prepare(self, job: Job) -> tuple[Job, EncodedProbes]:
        source = job.program.source
        if type(source) is not str:
            raise ProgramError(f"the program must be text (str itself), not {type(source).__name__}")
        if job.program.language == "javascript":
            if self.tier != 1:
                raise SandboxUnavailable("JavaScript runs in tier 1 only, and this host offers less")
            javascript.node()
            check_probes(job.probes)
            return job, javascript.EncodedForNode(job.probes)
        if job.program.language != "python":
            raise ProgramError(f"programs in {job.program.language!r} cannot be run; known: {LANGUAGES}")
        if "\0" in source:
            raise ProgramError("the program contains a NUL character, which no Python source may")
        key = id(job.probes)
        known = self._encoded.get(key)
        if known is None or known[0] is not job.probes:
            if len(self._encoded) >= 64:
                self._encoded.clear()
            known = self._encoded[key] = (job.probes, Encoded(job.probes))
        return job, known[1]

    # ----------------------------------------------------------------------------------------- looking

    def zygotes(self) -> list[int]:
        """Process numbers of the zygotes, oldest first: they change when a jail had to be replaced."""
        return [worker.pid for worker in list(self._supervisor.workers.values())]

    def busy(self) -> int:
        """How many candidates are running at this moment."""
        return len(self._supervisor.running)

    # ----------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """End every jail. Jobs that run or wait are given back as `infra`."""
        self._supervisor.close()
        self._nodes.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)
