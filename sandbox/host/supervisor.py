"""Hand jobs to pre-forked children in several jails; complete each exactly once.

One thread owns all state that changes. A short run costs one message in each direction; only a run that takes longer is
watched while it runs. `job_run` decides what a run's end means; `sandbox.pool` accepts the jobs.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from collections import deque
from contextlib import suppress

from sandbox.errors import SandboxUnavailable
from sandbox.host.jail import JailConfig
from sandbox.host.job_run import JobRun
from sandbox.host.worker import EXIT, ChildProcess, Worker, drain, now

WATCH_AFTER_S = 0.02
"""Seconds after which a run is read while it continues. Before that its few bytes wait in the socket."""

KILL_S = 2.0
"""Seconds that a zygote may take to report the end of a killed child; after that the zygote is killed."""

RUNNING_PER_WORKER = 4
"""Most running children per jail: enough that the processor never waits for the supervisor."""

REST_S = 0.002
"""Seconds of pause before children are forked for the next request: the current caller gets its results first."""

START_AGAIN_S, START_AGAIN_MOST_S = 0.05, 5.0
"""Seconds of pause after a failed start of a jail, doubled each time, and the longest such pause."""

FORK_AT_ONCE = 8
"""Children requested in one message while there is more work than children."""


class Supervisor:
    """The thread that owns the workers, their children and every run."""

    def __init__(self, config: JailConfig, count: int, prefork: int) -> None:
        self.config, self.count, self.prefork = config, count, prefork
        self.inbox: deque[JobRun] = deque()
        self.waiting: deque[JobRun] = deque()
        self.workers: dict[int, Worker] = {}
        self.watched: dict[int, ChildProcess] = {}
        self.running: set[ChildProcess] = set()
        self.finished: list[JobRun] = []
        self.closing = self.abandoned = False
        self.idle = False
        self.failed_starts = 0
        self.next_start = 0.0
        # Held while `closing` is set or read: after `close` no job is accepted.
        self.gate = threading.Lock()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poll = select.epoll()
        self.poll.register(self.wake_read, select.EPOLLIN)
        self.started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        # bubblewrap dies with the *thread* that started it, so this one thread starts all jails.
        self.thread = threading.Thread(target=self._main, name="ucoder-sandbox", daemon=True)
        self.thread.start()
        error = self.started.get()
        if error is not None:
            self.close()
            raise error

    def submit(self, runs: list[JobRun]) -> None:
        """Accept runs; raises `SandboxUnavailable` after `close`."""
        with self.gate:
            if self.closing:
                raise SandboxUnavailable("this sandbox has been closed; make a new one")
            self.inbox.extend(runs)
            if self.idle:  # otherwise the thread reads the inbox at its next step
                self._wake()

    def abandon(self, runs: list[JobRun]) -> None:
        """Cancel runs: kill their children, and do not start the waiting ones."""
        for run in runs:
            run.abandoned = True
        with self.gate:
            if not self.closing:  # otherwise they are complete already
                self.abandoned = True
                self._wake()

    def close(self) -> None:
        """End the thread and every jail; unfinished runs are completed as `infra`."""
        with self.gate:
            if not self.closing:
                self.closing = True
                self._wake()
        self.thread.join()
        with self.gate:  # after the join nothing reads or writes them; two threads may be closing
            for fd in (self.wake_read, self.wake_write):
                if fd >= 0:
                    os.close(fd)
            self.wake_read = self.wake_write = -1

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes the thread as well
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
        # A job submitted just before the thread became idle came without a wake-up.
        events = self.poll.poll(0.0 if self.inbox else self._poll_timeout())
        for fd, _ in events:
            if fd == self.wake_read:
                os.read(self.wake_read, 4096)
            elif fd in self.workers:
                self._receive(self.workers[fd])
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

    def _poll_timeout(self) -> float | None:
        """The seconds until the next deadline.

        None when nothing runs or waits, and every worker has its children ready.
        """
        if self.running:
            moment = now()
            return max(0.0005, min(self._next_check(child) for child in self.running) - moment)
        unprepared = any(len(w.ready) < self.prefork for w in self.workers.values())
        rest = REST_S if unprepared or (self.waiting and self.workers) else None
        if len(self.workers) == self.count:
            return rest
        start = max(0.0, self.next_start - now())
        return start if rest is None else min(rest, start)

    @staticmethod
    def _next_check(child: ChildProcess) -> float:
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
        """Remove a worker whose zygote is gone.

        Its runs failed through the sandbox, not their programs.
        """
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
            self._retry(run, "its zygote was lost")

    def _receive(self, worker: Worker) -> None:
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
        if self._start_missing_workers():
            self._assign()

    def _start_missing_workers(self) -> bool:
        """Start missing workers while nothing runs.

        Returns False when no worker can take work.
        """
        while len(self.workers) < self.count and (not self.running or not self.workers):
            if now() < self.next_start:
                break
            try:
                self._start_worker()
                self.failed_starts = 0
            except SandboxUnavailable as error:
                self.failed_starts += 1
                pause = min(START_AGAIN_MOST_S, START_AGAIN_S * 2.0 ** min(self.failed_starts, 10))
                self.next_start = now() + pause
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

    def _give(self, child: ChildProcess, run: JobRun) -> None:
        try:
            message = run.begin()
        except Exception as error:  # a run that cannot be sent must not end the thread, which serves all runs
            child.worker.ready.appendleft(child)
            self._retry(run, f"the job cannot be sent: {error!r}")
            return
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
            sent = len(message)  # the child is gone; its end will be reported and classified
        if sent < len(message):
            child.unsent = memoryview(message)[sent:]
            self._watch(child)

    def _watch(self, child: ChildProcess) -> None:
        if not child.watched:
            child.watched = True
            fd = child.channel.fileno()
            self.watched[fd] = child
            self.poll.register(fd, select.EPOLLIN | (select.EPOLLOUT if child.unsent is not None else 0))

    def _unwatch(self, child: ChildProcess) -> None:
        if child.watched:
            child.watched = False
            fd = child.channel.fileno()
            del self.watched[fd]
            self.poll.unregister(fd)

    def _read(self, child: ChildProcess) -> None:
        run = child.run
        assert run is not None
        if child.unsent is not None:
            self._send_rest(child)
        data = drain(child)
        if run.feed(data):
            child.deadline = run.deadline(now())
        if not data and child.unsent is None:
            self._unwatch(child)  # it has closed its end; only its exit is still to come
            child.watch_at = child.deadline
        if run.faulty and not child.killed:
            child.deadline = now() + KILL_S
            child.worker.kill_child(child)

    def _send_rest(self, child: ChildProcess) -> None:
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
        for child in [c for c in self.running if self._next_check(c) <= moment]:
            run = child.run
            assert run is not None
            if child.deadline > moment:
                self._watch(child)
                continue
            if run.feed(drain(child)):
                child.deadline = run.deadline(moment)
            elif child.killed:
                child.worker.kill()  # its zygote does not reap it: give up the worker
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

    def _retry(self, run: JobRun, failure: str) -> None:
        """Retry a run that the sandbox failed, or complete it as `infra`.

        It becomes the first in the queue.
        """
        if run.infra_failed(failure):
            self._finish(run)
        else:
            self.waiting.appendleft(run)

    def _finish(self, run: JobRun) -> None:
        assert not run.done, "a job must have exactly one terminal record"
        run.done = True
        self.finished.append(run)

    def _deliver(self) -> None:
        """Hand all results on, so that a waiting caller wakes once."""
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
