"""Manage one zygote and its children: start, fork, kill and reap."""

from __future__ import annotations

import array
import os
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from sandbox.errors import SandboxUnavailable
from sandbox.host.jail import JailConfig, start_zygote
from sandbox.host.job_run import JobRun

EXIT = struct.Struct("<Iid")
MOST_FORKS = 16
"""Most children requested in one message."""
START_WALL_S = 30.0
CREDENTIALS = struct.Struct("3i")  # process, user and group, as the kernel attaches them to a message
END_S = 2.0
"""Seconds that a jail may take to end by itself after its zygote was killed."""


@dataclass(slots=True, eq=False)
class ChildProcess:
    """One forked, locked process, idle until its one run."""

    slot: int
    channel: socket.socket
    worker: Worker
    run: JobRun | None = None
    unsent: memoryview | None = None
    """The unsent rest of a job too large for the socket to take at once."""
    watch_at: float = 0.0
    """The monotonic second from which the supervisor reads the answers while it runs."""
    deadline: float = 0.0
    """The monotonic second at which the current probe has used up its wall-clock time."""
    watched: bool = False
    """Whether the supervisor reads the answers while it runs; short runs are read after their end."""
    killed: bool = False
    timed_out: bool = False


@dataclass(slots=True, eq=False)
class Worker:
    """A jail with its zygote and children.

    `ready` are the children waiting for a job; `children` are all that have not been reaped.

    `process` is bubblewrap in tier 1. `zygote` is a descriptor of the zygote itself, process `pid`. Started by root,
    a zygote does not die with bubblewrap, which cannot send signals to another user.
    """

    config: JailConfig
    process: subprocess.Popen[bytes]
    control: socket.socket
    pid: int
    zygote: int
    ready: deque[ChildProcess] = field(default_factory=deque)
    children: dict[int, ChildProcess] = field(default_factory=dict)
    running: int = 0
    _next_slot: int = 0

    @classmethod
    def start(cls, config: JailConfig) -> Worker:
        """Start a jail and wait until its zygote is warm and locked.

        Raises `SandboxUnavailable`.
        """
        try:
            process, control = start_zygote(config)
        except OSError as error:
            raise SandboxUnavailable(f"the jail cannot be started: {error}") from None
        control.settimeout(START_WALL_S)
        try:
            hello, ancillary, _, _ = control.recvmsg(256, socket.CMSG_SPACE(CREDENTIALS.size))
            ready = control.recv(256)
            if hello[:1] != b"A" or ready != b"R":
                raise OSError("no greeting")
            pid = CREDENTIALS.unpack(ancillary[0][2])[0]
            zygote = os.pidfd_open(pid)
        except OSError:
            control.close()
            process.kill()
            _, complaint = process.communicate()
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            last = lines[-1] if lines else "it ended without a message"
            raise SandboxUnavailable(
                f"the jail does not start: {last}. Run `ucoder sandbox doctor` to see what this host allows"
            ) from None
        assert process.stderr is not None
        process.stderr.close()
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        control.setblocking(False)
        return cls(config, process, control, pid, zygote)

    def fork(self, count: int = 1, ahead: bool = False) -> bool:
        """Request more children, whose jobs may be sent at once.

        `ahead` means that no job waits for them.

        Returns False where the zygote is gone or busy, or this process has no descriptors left.
        """
        pairs: list[tuple[socket.socket, socket.socket]] = []
        with suppress(OSError):  # out of descriptors: request fewer, or none
            for _ in range(min(count, MOST_FORKS)):
                pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        if not pairs:
            return False
        slots = range(self._next_slot, self._next_slot + len(pairs))
        fds = array.array("i", [theirs.fileno() for _, theirs in pairs])
        message = (b"F" if ahead else b"f") + struct.pack(f"<{len(pairs)}I", *slots)
        try:
            self.control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except OSError:
            for ours, _ in pairs:
                ours.close()
            return False
        finally:
            for _, theirs in pairs:
                theirs.close()
        self._next_slot += len(pairs)
        for slot, (ours, _) in zip(slots, pairs, strict=True):
            ours.setblocking(False)
            child = ChildProcess(slot, ours, self)
            self.children[slot] = child
            self.ready.append(child)
        return True

    def kill_child(self, child: ChildProcess) -> None:
        """Kill one child through the zygote.

        Kill the whole jail where the zygote does not accept the message.
        """
        child.killed = True
        try:
            self.control.send(b"K" + child.slot.to_bytes(4, "little"))
        except OSError:
            self.kill()

    def kill(self) -> None:
        """Kill the zygote and everything in its jail.

        It is the first process of the jail, so the others die with it.
        """
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.zygote, signal.SIGKILL)

    def stop(self) -> None:
        """End the jail and everything in it, and wait."""
        self.control.close()
        for child in self.children.values():
            child.channel.close()
        self.kill()
        os.close(self.zygote)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def drain(child: ChildProcess) -> bytes:
    """Read everything that the child has written so far."""
    parts = []
    try:
        while True:
            part = child.channel.recv(1 << 18)
            if not part:
                break
            parts.append(part)
            if len(part) < 1 << 16:
                break
    except (BlockingIOError, ConnectionResetError):
        pass
    return b"".join(parts)


def now() -> float:
    """Read the monotonic clock, in seconds."""
    return time.monotonic()
