"""Follow one job through one or more children to its terminal record.

A child that dies or hangs ends one probe; the probes after it continue in a fresh child, a bounded number of times.
Each script has its own child. The meaning of a child's end is decided in this module only.
"""

from __future__ import annotations

import functools
import operator
import os
import random
import signal
import time
from collections.abc import Callable

from sandbox.host.probes import EncodedProbes
from sandbox.host.wire import Frame, FrameReader, ProtocolError
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.program import Job

MAX_CHILDREN = 8
"""Most children that the calls of one job may end; the probes after that are not run."""

MAX_INFRA = 4
"""Failures of the sandbox itself before a job is completed as `infra`."""

FORBIDDEN = "a forbidden system call: a program must not start processes, open sockets or send signals"

_MISSING = functools.partial(operator.is_, None)
"""Tests for a missing outcome; `None in outcomes` would compare every outcome field by field."""


class JobRun:
    """The state of a job.

    `finished` is called once with the result, from the thread of its runtime.
    """

    def __init__(
        self,
        job: Job,
        encoded: EncodedProbes,
        tier: int,
        finished: Callable[[JobResult], None],
    ) -> None:
        self.job, self.encoded, self.tier, self.finished = job, encoded, tier, finished
        self.load: Outcome | None = None
        self.outcomes: list[Outcome | None] = [None] * len(job.probes)
        self.started: float | None = None
        self.children = 0
        self.infra = 0
        self.done = self.abandoned = False
        self.script_stdin = ""
        self._at = 0  # the probe whose answer is next; this child answers `_first` to `_stop`
        self._first = self._stop = 0
        self._ended = False
        self._fault: ProtocolError | None = None
        self._begun = self._loaded = False  # the child has sent a frame; its program has loaded
        self._announced = False  # the child has sent frame C: it batches no more answers
        self._at_once = False  # the child sends each answer at once
        self._careful = len(job.probes) == 1  # the next child is to send each answer at once
        self.reader: FrameReader | None = None

    # ------------------------------------------------------------------------------------- starting a child

    def begin(self) -> bytes:
        """Choose the probes of the next child and build its message."""
        if self.started is None:
            self.started = time.monotonic()
        outcomes, scripts = self.outcomes, self.encoded.scripts
        first = next((i for i, outcome in enumerate(outcomes) if outcome is None), 0)
        seed = random.getrandbits(32)
        self.reader = FrameReader(seed, self.job)
        self._ended, self._fault = False, None
        self._begun = self._announced = self._loaded = False
        self._at = self._first = first
        if scripts and first in scripts:
            self._stop = first + 1
            self.script_stdin = scripts[first]
            self._at_once = True
            return self.encoded.message(self.job, seed, first, True, self.script_stdin, b"")
        self._at_once = self._careful
        self._stop = next((i for i in sorted(scripts) if i > first), len(outcomes))
        return self.encoded.message(self.job, seed, first, self._careful, None, self.encoded.blob(self._stop))

    def deadline(self, now: float) -> float:
        """The deadline of a probe that starts `now`, on the monotonic clock."""
        limits = self.job.limits
        return min(now + limits.probe_wall_s, (self.started or now) + limits.job_wall_s)

    # ------------------------------------------------------------------------------------- reading a child

    def feed(self, data: bytes) -> bool:
        """Parse bytes from the child.

        Returns whether they hold an answer. Never raises.
        """
        if self._fault is not None or not data:
            return False
        assert self.reader is not None
        try:
            frames = self.reader.feed(data)
            for frame in frames:
                self._take(frame)
        except ProtocolError as error:
            self._fault = error
            return False
        return any(frame.outcomes for frame in frames)

    @property
    def begun(self) -> bool:
        """Whether the child has sent any frame."""
        return self._begun

    @property
    def faulty(self) -> bool:
        """Whether the child broke the protocol, so that no answer counts."""
        return self._fault is not None

    def _take(self, frame: Frame) -> None:
        if self._ended:
            raise ProtocolError("a frame after the end")
        first, self._begun = not self._begun, True
        if not frame.outcomes and frame.kind not in (b"E", b"T"):
            self._record_state(frame.kind, first)
        elif frame.kind == b"L":
            if self._loaded:
                raise ProtocolError("loaded twice")
            self._loaded = True
            self.load = self.load or frame.outcomes[0]
            if frame.outcomes[0].status is not Status.OK:
                self._fill(frame.outcomes[0])
                self._at = self._stop
        elif not self._loaded:
            raise ProtocolError("an answer before loading")
        elif frame.kind == b"P":
            end = self._at + len(frame.outcomes)
            if frame.index != self._at or end > self._stop:
                raise ProtocolError("an answer to another probe")
            self.outcomes[self._at : end] = frame.outcomes
            self._at = end
        elif frame.kind == b"T":
            # Without progress a program could use up any number of children.
            if not self._first < self._at < self._stop:
                raise ProtocolError("threads left, but not between two probes")
            self._ended = True
        else:
            if self._at < self._stop:
                raise ProtocolError("an end before the last answer")
            self._ended = True

    def _record_state(self, kind: bytes, first: bool) -> None:
        """Record a frame about the child itself.

        Kind S: it is set up. Kind C: from now on it sends each answer at once.
        """
        if kind == b"S":
            if not first:
                raise ProtocolError("set up after another frame")
        elif self._announced:
            raise ProtocolError("the end of batching twice")
        else:
            self._announced = self._at_once = self._careful = True

    # -------------------------------------------------------------------------------------- a child's end

    def child_ended(self, status: int, cpu_s: float, timed_out: bool) -> bool:
        """Record the end of a child.

        Returns True when the job is complete, False when it needs another child.
        """
        assert self.reader is not None
        ending = classify(status, cpu_s, timed_out, self.job)
        if self._fault is None and ending.status is Status.INFRA:
            return self.infra_failed(ending.message)  # even after its last answer: it had no time to exit
        if self._fault is None and not self._begun and not timed_out:
            return self.infra_failed(f"a child could not be set up: {ending.message}")
        if self._fault is None and self._ended and self.reader.buffer:
            self._fault = ProtocolError("bytes after the end")
        if self._fault is None and self._ended and status != 0:
            self._fault = ProtocolError("it did not exit properly after its last answer")
        if self._fault is not None:
            self._spoil(Outcome(Status.PROTOCOL, message=str(self._fault)))
            return self._complete()
        if not self._ended:
            if not self._at_once and not (self._loaded and self._at == self._stop):
                # A batch may have been lost with it: run again, with each answer sent at once.
                self._careful = True
                return False
            self.children += 1
            self._record_ending(ending)
        return self._complete()

    def _record_ending(self, ending: Outcome) -> None:
        if not self._loaded:
            self.load = self.load or ending
            self._fill(ending)
            return
        if self._at < self._stop:
            self.outcomes[self._at] = ending
        else:  # every answer but no end frame: an honest child sends one, so no answer counts
            self.outcomes[self._first : self._stop] = [ending] * (self._stop - self._first)
            if not self.outcomes:
                self.load = ending
        spent = time.monotonic() - (self.started or 0.0) >= self.job.limits.job_wall_s
        if spent:
            self._fill(Outcome(Status.WALL, message="not reached within the job's wall-clock time"))
        elif self.children >= MAX_CHILDREN:
            self._fill(
                Outcome(Status.NO_RESULT, message=f"not run: the job has ended {self.children} children")
            )

    def infra_failed(self, message: str) -> bool:
        """Record a failure of the sandbox: drop this child's answers.

        Returns True after `MAX_INFRA` failures.
        """
        self.infra += 1
        self.outcomes[self._first : self._stop] = [None] * (self._stop - self._first)
        if self.infra < MAX_INFRA:
            return False
        outcome = Outcome(Status.INFRA, message=message)
        self.load = self.load or outcome
        self._fill(outcome)
        return self._complete()

    def give_up(self) -> None:
        """Complete the record of a cancelled job with the outcomes so far."""
        outcome = Outcome(Status.INFRA, message="cancelled")
        self.load = self.load or outcome
        self._fill(outcome)

    def _spoil(self, outcome: Outcome) -> None:
        self.load = outcome
        self.outcomes = [outcome] * len(self.outcomes)

    def _fill(self, outcome: Outcome) -> None:
        self.outcomes = [o if o is not None else outcome for o in self.outcomes]

    def _complete(self) -> bool:
        return self.load is not None and not any(map(_MISSING, self.outcomes))

    def result(self) -> JobResult:
        """Build the result of a complete job."""
        assert self._complete()
        outcomes = tuple(self.outcomes)
        return JobResult(self.load, outcomes, self.tier, time.monotonic() - (self.started or 0.0))  # type: ignore[arg-type]


def classify(status: int, cpu_s: float, timed_out: bool, job: Job) -> Outcome:
    """Translate the end of a child to its missing outcome.

    `status` is as from wait, `cpu_s` the child's CPU seconds.
    """
    if timed_out:
        return Outcome(Status.WALL, message=f"no answer within {job.limits.probe_wall_s:g} s")
    if not os.WIFSIGNALED(status):
        return Outcome(Status.NO_RESULT, message=f"the process exited with code {os.WEXITSTATUS(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGSYS:
        return Outcome(Status.SECCOMP, message=FORBIDDEN)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu_s >= job.limits.cpu_s):
        return Outcome(Status.CPU, message=f"more than {job.limits.cpu_s} s of CPU time")
    if number == signal.SIGKILL:
        # The program cannot send signals, so this one came from outside (an operator, or a kernel short of memory).
        return Outcome(Status.INFRA, message="killed from outside the sandbox")
    return Outcome(Status.SIGNAL, message=signal.Signals(number).name)
