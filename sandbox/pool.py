"""The supervisor: hands jobs to pre-forked children in several jails and gives each its one result.

One thread owns everything that moves; callers hand it jobs and get results, from synchronous code, from
asyncio, or as a stream. Short runs cost one message there and one back; only a run that takes longer is
watched while it runs.
"""

from __future__ import annotations

import asyncio
import os
import queue
import select
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sandbox import javascript
from sandbox.errors import ProgramError, SandboxError, SandboxUnavailable
from sandbox.interpreter import locate
from sandbox.jail import WARM, JailConfig
from sandbox.outcome import JobResult, Status
from sandbox.program import Call, Job, Probe, Program
from sandbox.run import Run
from sandbox.wire import Encoded, EncodedProbes
from sandbox.worker import EXIT, Child, Worker, drain, now

WATCH_AFTER_S = 0.02
"""A run still going after this long is read along; before, its few bytes wait in the socket."""

KILL_S = 2.0
"""What a zygote may take to report a child as ended that it was told to kill; after that it is given up."""

RUNNING_PER_WORKER = 4
"""Children of one jail that run at a time: enough that the processor never waits for the supervisor."""

REST_S = 0.002
"""Children for the next request are forked after a pause of this length: first comes whoever waits for this one."""

FORK_AT_ONCE = 8
"""Children asked for in one message while there is more work than children."""

IN_FLIGHT = 256
"""Jobs that `stream` keeps in the sandbox at a time, so that a batch of any length needs little memory."""

LANGUAGES = "python, javascript"
COMPILE = "def check(source):\n    compile(source, '<program>', 'exec')\n"


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
        self._others = ThreadPoolExecutor(count, "ucoder-sandbox-other")  # starts no thread until used
        self._supervisor = _Supervisor(config, count, prefork)
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
            if job.program.language == "python":
                compiling = Job(Program(COMPILE), (Call("check", (job.program.source,)),), job.limits)
                compiled = self.run_one(compiling).outcomes[0]
            else:
                compiled = self.run_one(Job(job.program, (), job.limits)).load
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

        counting = threading.Lock()  # other languages finish in threads of their own
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

        At most `in_flight` jobs are read ahead from `jobs`, so memory does not grow with the batch.
        """
        done: queue.SimpleQueue[tuple[int, JobResult]] = queue.SimpleQueue()

        def put(index: int) -> Callable[[JobResult], None]:
            return lambda result: done.put((index, result))

        waiting = 0
        for index, job in enumerate(jobs):
            self._submit([Run(*self._prepare(job), self.tier, put(index))])
            waiting += 1
            while waiting >= in_flight or not done.empty():
                yield done.get()
                waiting -= 1
        for _ in range(waiting):
            yield done.get()

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
                self._others.submit(javascript.drive, run)
        self._supervisor.submit([run for run in runs if run.job.program.language == "python"])

    def _prepare(self, job: Job) -> tuple[Job, EncodedProbes]:
        if job.program.language == "javascript":
            if self.tier != 1:
                raise SandboxUnavailable("JavaScript runs in tier 1 only, and this host offers less")
            javascript.node()
            return job, javascript.EncodedForNode(job.probes)
        if job.program.language != "python":
            raise ProgramError(f"programs in {job.program.language!r} cannot be run; known: {LANGUAGES}")
        if "\0" in job.program.source:
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
        """Process numbers of the jails, oldest first: they change when a jail had to be replaced."""
        return [worker.process.pid for worker in list(self._supervisor.workers.values())]

    def busy(self) -> int:
        """How many candidates are running at this moment."""
        return len(self._supervisor.running)

    # ----------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """End every jail. Jobs still waiting are given back as `infra`."""
        self._supervisor.close()
        self._others.shutdown(cancel_futures=False)

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


class _Supervisor:
    """The thread behind a `Sandbox`: owns the workers, their children and every run."""

    def __init__(self, config: JailConfig, count: int, prefork: int) -> None:
        self.config, self.count, self.prefork = config, count, prefork
        self.inbox: deque[Run] = deque()
        self.waiting: deque[Run] = deque()
        self.workers: dict[int, Worker] = {}
        self.watched: dict[int, Child] = {}
        self.running: set[Child] = set()
        self.finished: list[Run] = []
        self.closing = self.abandoned = False
        self.idle = False
        self.failed_starts = 0
        # Held while `closing` is set or obeyed: no job is accepted that nobody would look at any more.
        self.gate = threading.Lock()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poll = select.epoll()
        self.poll.register(self.wake_read, select.EPOLLIN)
        self.started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        # bubblewrap dies with the *thread* that started it, so this thread starts all jails itself.
        self.thread = threading.Thread(target=self._main, name="ucoder-sandbox", daemon=True)
        self.thread.start()
        error = self.started.get()
        if error is not None:
            self.close()
            raise error

    def submit(self, runs: list[Run]) -> None:
        with self.gate:
            if self.closing:
                raise SandboxUnavailable("this sandbox has been closed; make a new one")
            self.inbox.extend(runs)
            if self.idle:  # else it looks by itself as soon as it can use more work
                self._wake()

    def abandon(self, runs: list[Run]) -> None:
        """Nobody waits for these any more: their children are killed, those that wait are not started."""
        for run in runs:
            run.abandoned = True
        with self.gate:
            if not self.closing:  # else they have been given back already
                self.abandoned = True
                self._wake()

    def close(self) -> None:
        with self.gate:
            if not self.closing:
                self.closing = True
                self._wake()
        self.thread.join()
        with self.gate:  # only now nobody reads or writes it; two threads may be closing
            for fd in (self.wake_read, self.wake_write):
                if fd >= 0:
                    os.close(fd)
            self.wake_read = self.wake_write = -1

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self.wake_write, b"\0")

    # --------------------------------------------------------------------------------------- the thread

    def _main(self) -> None:
        try:
            self._start_worker()
        except BaseException as error:
            self._shut()
            self.started.put(error)
            return
        self.started.put(None)
        try:
            while not self.closing:
                self._step()
        finally:
            self._shut()

    def _step(self) -> None:
        self.idle = not self.waiting
        # A job handed over just before it became idle came without a wake-up.
        events = self.poll.poll(0.0 if self.inbox else self._patience())
        for fd, _ in events:
            if fd == self.wake_read:
                os.read(self.wake_read, 4096)
            elif fd in self.workers:
                self._hear(self.workers[fd])
            elif fd in self.watched:
                self._read(self.watched[fd])
        self.waiting.extend(self.inbox.popleft() for _ in range(len(self.inbox)))
        if self.abandoned:
            self._drop_abandoned()
        self._check_clocks()
        self._dispatch()
        self._deliver()
        if not events and not self.running and not self.waiting:
            for worker in self.workers.values():
                self._refill(worker, self.prefork, ahead=True)

    def _drop_abandoned(self) -> None:
        self.abandoned = False
        for run in [run for run in self.waiting if run.abandoned]:
            self.waiting.remove(run)
            run.give_up()
            self._finish(run)
        for child in self.running:
            if child.run is not None and child.run.abandoned and not child.killed:
                child.timed_out = True
                child.deadline = now() + KILL_S
                child.worker.kill_child(child)

    def _patience(self) -> float | None:
        """Seconds until some clock needs looking at; None when nothing runs and all is prepared."""
        if self.running:
            moment = now()
            return max(0.0005, min(self._next_look(child) for child in self.running) - moment)
        if len(self.workers) < self.count:
            return 0.0
        return REST_S if any(len(w.ready) < self.prefork for w in self.workers.values()) else None

    @staticmethod
    def _next_look(child: Child) -> float:
        return child.deadline if child.watched else min(child.deadline, child.watch_at)

    # ----------------------------------------------------------------------------------------- workers

    def _start_worker(self) -> Worker:
        worker = Worker.start(self.config)
        self.workers[worker.control.fileno()] = worker
        self.poll.register(worker.control, select.EPOLLIN)
        self._refill(worker, self.prefork)
        return worker

    def _refill(self, worker: Worker, target: int, ahead: bool = False) -> None:
        while (missing := target - len(worker.ready)) > 0 and worker.fork(missing, ahead):
            pass

    def _lose_worker(self, worker: Worker) -> None:
        """A zygote is gone: its runs have failed through no fault of their programs."""
        fd = worker.control.fileno()
        self.poll.unregister(fd)
        del self.workers[fd]
        lost = [child for child in worker.children.values() if child.run is not None]
        for child in lost:
            self._unwatch(child)
            self.running.discard(child)
        worker.stop()
        for child in lost:
            run = child.run
            assert run is not None
            if run.infra_failed("its zygote was lost"):
                self._finish(run)
            else:
                self.waiting.appendleft(run)

    def _hear(self, worker: Worker) -> None:
        while True:
            try:
                message = worker.control.recv(1024)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._lose_worker(worker)
                return
            if message[:1] == b"X":
                for slot, status, cpu_s in EXIT.iter_unpack(message[1:]):
                    self._child_ended(worker, slot, status, cpu_s)
            elif message[:1] == b"!":
                self._child_ended(worker, int.from_bytes(message[1:5], "little"), 9, 0.0)

    # ---------------------------------------------------------------------------------------- children

    def _dispatch(self) -> None:
        if self._staff():
            self._assign()

    def _staff(self) -> bool:
        """Start missing workers while nothing runs; False when there is nobody to give work to."""
        while len(self.workers) < self.count and (not self.running or not self.workers):
            try:
                self._start_worker()
                self.failed_starts = 0
            except SandboxUnavailable as error:
                self.failed_starts += 1
                if self.failed_starts < 5 or self.workers:
                    break
                for run in self.waiting:
                    while not run.infra_failed(str(error)):
                        pass
                    self._finish(run)
                self.waiting.clear()
                return False
        return True

    def _assign(self) -> None:
        per_worker = RUNNING_PER_WORKER
        while self.waiting:
            free = [w for w in self.workers.values() if w.running < per_worker]
            if not free:
                break
            worker = min(free, key=lambda w: (w.running, -len(w.ready)))
            if not worker.ready and not worker.fork(min(len(self.waiting), FORK_AT_ONCE)):
                break
            self._give(worker.ready.popleft(), self.waiting.popleft())
        for worker in self.workers.values():
            if self.waiting and not worker.ready:
                worker.fork(FORK_AT_ONCE)

    def _give(self, child: Child, run: Run) -> None:
        message = run.begin()
        child.run = run
        moment = now()
        child.deadline = run.deadline(moment)
        child.watch_at = moment + WATCH_AFTER_S
        child.worker.running += 1
        self.running.add(child)
        try:
            sent = child.channel.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(message)  # it is gone already; its end will be reported and judged
        if sent < len(message):
            child.unsent = memoryview(message)[sent:]
            self._watch(child)

    def _watch(self, child: Child) -> None:
        if not child.watched:
            child.watched = True
            fd = child.channel.fileno()
            self.watched[fd] = child
            self.poll.register(fd, select.EPOLLIN | (select.EPOLLOUT if child.unsent is not None else 0))

    def _unwatch(self, child: Child) -> None:
        if child.watched:
            child.watched = False
            fd = child.channel.fileno()
            del self.watched[fd]
            self.poll.unregister(fd)

    def _read(self, child: Child) -> None:
        run = child.run
        assert run is not None
        if child.unsent is not None:
            self._send_rest(child)
        data = drain(child)
        if run.feed(data):
            child.deadline = run.deadline(now())
        if not data and child.unsent is None:
            self._unwatch(child)  # it has closed its end; what remains is its exit
            child.watch_at = child.deadline
        if run.faulty and not child.killed:
            child.deadline = now() + KILL_S
            child.worker.kill_child(child)

    def _send_rest(self, child: Child) -> None:
        assert child.unsent is not None
        try:
            child.unsent = child.unsent[child.channel.send(child.unsent) :] or None
        except BlockingIOError:
            return
        except OSError:
            child.unsent = None
        if child.unsent is None:
            self.poll.modify(child.channel.fileno(), select.EPOLLIN)

    def _check_clocks(self) -> None:
        moment = now()
        for child in [c for c in self.running if self._next_look(c) <= moment]:
            run = child.run
            assert run is not None
            if child.deadline > moment:
                self._watch(child)
                continue
            if run.feed(drain(child)):
                child.deadline = run.deadline(moment)
            elif child.killed:
                child.worker.process.kill()  # its zygote does not reap it: lose the worker
                child.deadline = moment + 1.0
            else:
                child.timed_out = True
                child.deadline = moment + KILL_S
                child.worker.kill_child(child)

    def _child_ended(self, worker: Worker, slot: int, status: int, cpu_s: float) -> None:
        child = worker.children.pop(slot)
        run = child.run
        if run is None:
            worker.ready.remove(child)
            child.channel.close()
            return
        run.feed(drain(child))
        self._unwatch(child)
        child.channel.close()
        self.running.discard(child)
        worker.running -= 1
        if run.abandoned:
            run.give_up()
        if run.abandoned or run.child_ended(status, cpu_s, child.timed_out):
            self._finish(run)
        else:
            self.waiting.appendleft(run)

    def _finish(self, run: Run) -> None:
        assert not run.done, "a job must have exactly one terminal record"
        run.done = True
        self.finished.append(run)

    def _deliver(self) -> None:
        """Hand results on, all at the end of a step: whoever waits for them is woken once, not between two."""
        finished, self.finished = self.finished, []
        for run in finished:
            run.finished(run.result())

    def _shut(self) -> None:
        with self.gate:
            self.closing = True
        left = [c.run for c in self.running if c.run is not None] + [*self.waiting, *self.inbox]
        for worker in self.workers.values():
            worker.stop()
        self.poll.close()
        for run in left:
            while not run.infra_failed("the sandbox was closed"):
                pass
            self._finish(run)
        self._deliver()
