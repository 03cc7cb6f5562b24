"""Run jobs in a pool of jails, with one result each.

Callers wait for the results, await them in asyncio, or read them as a stream.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sandbox import tiers
from sandbox.errors import ProgramError, SandboxError
from sandbox.host.interpreter import locate
from sandbox.host.jail import WARM, JailConfig
from sandbox.host.job_run import JobRun
from sandbox.host.languages import RUNTIMES
from sandbox.host.probes import EncodedProbes
from sandbox.host.runtime import Runtime
from sandbox.outcome import JobResult, Status
from sandbox.program import Call, Job, Program

IN_FLIGHT = 256
"""Most unfinished jobs of a `stream`, so that a batch of any length needs little memory."""


class Sandbox:
    """A pool of jails.

    Use it as a context manager (`with` or `async with`); it is safe to use from several threads.

    `workers`: jails, one zygote each (default: the number of CPUs). `interpreter`: the Python that runs candidates: a
    path, a command or a virtual environment's folder (default: this one). `readable`: further host paths that
    candidates may read. `path`: folders for their `sys.path`. `prefork`: children kept waiting in each jail, locked
    before a request arrives. `lowest_tier`: refuse hosts with weaker isolation (1 full, 2 without namespaces; see
    `sandbox.tiers`). `hash_seed`: PYTHONHASHSEED of the candidates. `force_tier`: use this tier even where the host
    offers a better one, to test it.

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
        count = workers if workers is not None else len(os.sched_getaffinity(0))
        if count < 1 or prefork < 1:
            raise SandboxError("workers and prefork must be at least 1")
        python = locate(interpreter)
        self.tier = force_tier if force_tier is not None else tiers.choose_tier(lowest_tier)
        config = JailConfig(python, self.tier, hash_seed, tuple(warm), tuple(readable), tuple(path))
        self._runtimes: dict[str, Runtime] = {}
        try:
            for language, start in RUNTIMES.items():
                self._runtimes[language] = start(config, count, prefork)
            tiers.prove(self.run)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------ running

    def run_one(self, job: Job) -> JobResult:
        """Run one job and wait for its result."""
        return self.run([job])[0]

    def check(self, jobs: Iterable[Job]) -> Sandbox:
        """Raise the error of the first job that cannot run at all.

        Returns the sandbox itself.

        A program is compiled in the jail, since compiling can be an attack. `ArgumentError`: a probe holds something
        that is not plain data. `ProgramError`: the program does not compile.
        """
        for job in jobs:
            self._prepare(job)
            language = job.program.language
            compiler = Program(self._runtimes[language].compiler, language)
            compiling = Job(compiler, (Call("check", (job.program.source,)),), job.limits)
            compiled = self.run_one(compiling).outcomes[0]
            if compiled.status is not Status.OK:
                reason = compiled.message or compiled.exception or compiled.status.value
                raise ProgramError(f"the program does not compile: {reason}")
        return self

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs in parallel; results in the order of the jobs.

        Raises `ArgumentError` or `ProgramError` before any of them runs.
        """
        prepared = [self._prepare(job) for job in jobs]
        results: list[JobResult | None] = [None] * len(prepared)
        missing = len(prepared)
        counting = threading.Lock()  # some languages finish runs in several threads
        all_there = threading.Event()

        def put(index: int) -> Callable[[JobResult], None]:
            def finished(result: JobResult) -> None:
                nonlocal missing
                results[index] = result
                with counting:
                    missing -= 1
                    if not missing:
                        all_there.set()  # one wake-up in all: each costs as much as a candidate's answers

            return finished

        if prepared:
            self._submit([JobRun(*p, self.tier, put(i)) for i, p in enumerate(prepared)])
            all_there.wait()
        return [r for r in results if r is not None]

    async def arun(
        self, jobs: Sequence[Job], on_progress: Callable[[int, JobResult], None] | None = None
    ) -> list[JobResult]:
        """Run jobs like `run`, for asyncio.

        `on_progress(index, result)` is called in the loop as each job ends.

        Cancelling it ends the running candidates and drops the waiting ones.
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
                with suppress(RuntimeError):  # the loop has been closed, and no caller waits any more
                    loop.call_soon_threadsafe(settle, index, result)

            return finished

        runs = [JobRun(*p, self.tier, put(i)) for i, p in enumerate(prepared)]
        self._submit(runs)
        try:
            return list(await asyncio.gather(*futures))
        except asyncio.CancelledError:
            for runtime, of_language in self._by_runtime(runs):
                runtime.abandon(of_language)
            raise

    def stream(self, jobs: Iterable[Job], in_flight: int = IN_FLIGHT) -> Iterator[tuple[int, JobResult]]:
        """Run a batch of any length lazily.

        Yields (index, result) in the order in which jobs end.

        At most `in_flight` jobs are read ahead from `jobs`, so memory does not grow with the batch. A job that cannot
        run ends the batch with its error, after the results of all jobs before it.
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
                self._submit([JobRun(*self._prepare(job), self.tier, put(index))])
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

    def _prepare(self, job: Job) -> tuple[Job, EncodedProbes]:
        source, language = job.program.source, job.program.language
        if type(source) is not str:
            raise ProgramError(f"the program must be text (str itself), not {type(source).__name__}")
        if language not in self._runtimes:
            raise ProgramError(f"programs in {language!r} cannot be run; known: {', '.join(self._runtimes)}")
        return job, self._runtimes[language].encode(job)

    def _submit(self, runs: list[JobRun]) -> None:
        for runtime, of_language in self._by_runtime(runs):
            runtime.submit(of_language)

    def _by_runtime(self, runs: list[JobRun]) -> Iterator[tuple[Runtime, list[JobRun]]]:
        for language, runtime in self._runtimes.items():
            of_language = [run for run in runs if run.job.program.language == language]
            if of_language:
                yield runtime, of_language

    # ----------------------------------------------------------------------------------------- state

    def zygotes(self) -> list[int]:
        """List the process numbers of the zygotes, oldest first.

        They change when a jail is replaced.
        """
        return [pid for runtime in self._runtimes.values() for pid in runtime.zygotes()]

    def busy(self) -> int:
        """Count the candidates that run at this moment."""
        return sum(runtime.running() for runtime in self._runtimes.values())

    # ----------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """End every jail. Unfinished jobs are completed as `infra`."""
        for runtime in self._runtimes.values():
            runtime.close()

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
