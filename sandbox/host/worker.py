"""One zygote and its children, as the supervisor sees them: start, fork ahead, feed, kill, reap."""

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
from typing import TYPE_CHECKING

from sandbox.errors import SandboxUnavailable
from sandbox.host.jail import JailConfig, start_zygote

if TYPE_CHECKING:
    from sandbox.host.job_run import Run

EXIT = struct.Struct("<Iid")
MOST_FORKS = 16
"""Children asked for in one message, at most."""
START_WALL_S = 30.0
CREDENTIALS = struct.Struct("3i")  # process, user and group, as the kernel attaches them to a message
END_S = 2.0
"""What a jail may take to end by itself once its zygote was killed."""


@dataclass(slots=True, eq=False)
class Child:
    """One forked, locked process: idle until a run is given to it, then used once."""

    slot: int
    channel: socket.socket
    worker: Worker
    run: Run | None = None
    unsent: memoryview | None = None
    """What is left of a job too large for the socket to take at once."""
    watch_at: float = 0.0
    deadline: float = 0.0
    """Monotonic second at which the probe in progress has used up its wall-clock time."""
    watched: bool = False
    """True once the supervisor reads along while it runs (short runs are read when they have ended)."""
    killed: bool = False
    timed_out: bool = False


@dataclass(slots=True, eq=False)
class Worker:
    """One jail. `ready` are children waiting for a job; `children` are all that have not been reaped.

    `process` is bubblewrap in tier 1. `zygote` is a descriptor of the zygote itself, process `pid`: started by root,
    it does not die with bubblewrap, which may not send signals to another user.
    """

    config: JailConfig
    process: subprocess.Popen[bytes]
    control: socket.socket
    pid: int
    zygote: int
    landlock: int
    ready: deque[Child] = field(default_factory=deque)
    children: dict[int, Child] = field(default_factory=dict)
    running: int = 0
    forked: int = 0
    _next_slot: int = 0

    @classmethod
    def start(cls, config: JailConfig) -> Worker:
        """Start a jail and wait until its zygote is warm and locked; raises `SandboxUnavailable`."""
        try:
            process, control = start_zygote(config)
        except OSError as error:
            raise SandboxUnavailable(f"the jail cannot be started: {error}") from None
        control.settimeout(START_WALL_S)
        try:
            hello, said_by, _, _ = control.recvmsg(256, socket.CMSG_SPACE(CREDENTIALS.size))
            ready = control.recv(256)
            if hello[:1] != b"A" or ready != b"R":
                raise OSError("no greeting")
            pid = CREDENTIALS.unpack(said_by[0][2])[0]
            zygote = os.pidfd_open(pid)
        except OSError:
            control.close()
            process.kill()
            _, complaint = process.communicate()
            last = (complaint.decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"])[
                -1
            ]
            raise SandboxUnavailable(
                f"the jail does not start: {last}. Run `ucoder sandbox doctor` to see what this host allows"
            ) from None
        assert process.stderr is not None
        process.stderr.close()
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        control.setblocking(False)
        return cls(config, process, control, pid, zygote, hello[1])

    def fork(self, count: int = 1, ahead: bool = False) -> bool:
        """Ask for more children; their jobs may be sent at once.

        False where the zygote is gone or busy, or this process has no descriptors left.
        """
        pairs: list[tuple[socket.socket, socket.socket]] = []
        with suppress(OSError):  # fewer then, or none
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
            child = Child(slot, ours, self)
            self.children[slot] = child
            self.ready.append(child)
        self.forked += len(pairs)
        return True

    def kill_child(self, child: Child) -> None:
        child.killed = True
        try:
            self.control.send(b"K" + child.slot.to_bytes(4, "little"))
        except OSError:
            self.kill()  # a zygote that does not listen goes as a whole

    def kill(self) -> None:
        """Kill the zygote, the first process of its jail: everything in there dies with it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.zygote, signal.SIGKILL)

    def stop(self) -> None:
        """End the jail and everything in it, and wait until it is gone."""
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


def drain(child: Child) -> bytes:
    """Everything the child has written so far."""
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
    return time.monotonic()
