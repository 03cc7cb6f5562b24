"""The warmed, locked process that forks one child for each candidate.

Started once for each jail: gives up its privileges, imports what candidates usually import, freezes that
memory, restricts itself (Landlock and the first seccomp filter), and then only forks, waits and kills at the
supervisor's word. It holds no secret, reads no result, and is single-threaded.

Messages (one a packet): in, `F` slot with the child's socket attached (`f` where its job is there already),
`K` slot to kill it; out, `R` when
ready, `X` slot, wait status, CPU seconds and peak memory of a child that ended, `!` slot where fork failed.
"""

from __future__ import annotations

import array
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any

from sandbox.jailed import child as child_module
from sandbox.jailed import lockdown

EXIT = struct.Struct("<cIidQ")


class Zygote:
    """One supervisor's connection, and the children alive."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.slots: dict[int, int] = {}  # slot -> pid
        self.pids: dict[int, int] = {}

    def run(self) -> None:
        wake, wake_write = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        self.control.send(b"R")
        while True:
            for fd, _ in poll.poll():
                if fd == wake:
                    os.read(wake, 4096)
                    self.reap()
                elif not self.command():
                    return

    def command(self) -> bool:
        data, ancillary, _, _ = self.control.recvmsg(16, 64)
        if not data:
            return False
        slot = int.from_bytes(data[1:5], "little")
        if data[:1] == b"K":
            pid = self.slots.get(slot)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            return True
        fds = array.array("i")
        for _level, _kind, raw in ancillary:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
        self.fork(slot, fds[0], data[:1] == b"F")
        return True

    def fork(self, slot: int, fd: int, ahead: bool) -> None:
        try:
            pid = os.fork()
        except OSError:
            self.control.send(b"!" + slot.to_bytes(4, "little"))
            os.close(fd)
            return
        if pid == 0:
            run_child(fd, ahead)
        os.close(fd)
        self.slots[slot] = pid
        self.pids[pid] = slot

    def reap(self) -> None:
        while self.pids:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            slot = self.pids.pop(pid, None)
            if slot is None:
                continue
            del self.slots[slot]
            cpu_s = usage.ru_utime + usage.ru_stime
            self.control.send(EXIT.pack(b"X", slot, status, cpu_s, usage.ru_maxrss * 1024))


def run_child(fd: int, ahead: bool) -> None:
    """Become the child: nothing of the zygote's left open, every limit set, then the job."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(fd, 3)
        os.closerange(4, 1 << 12)
        lockdown.install_filter(CHILD_FILTER)
        child = child_module.Child(3)
        if ahead:
            child.rehearse()
        child.serve()
    finally:
        os._exit(0)


CHILD_LIMITS = (
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, 128),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_STACK, 8 << 20),
)

CHILD_FILTER: Any = None


def main(control_fd: int, uid: int, readable: list[str], root: str, path: list[str], warm: list[str]) -> None:
    global CHILD_FILTER  # noqa: PLW0603 - prepared once, so that a child only installs it
    with open(os.path.join(os.path.dirname(__file__), "loop.py")) as file:
        child_module.LOOP_SOURCE = file.read()
    if not root.startswith("/ucoder"):  # tier 2: root's own interpreter may be out of the user's reach later
        warm_up(warm)
    lockdown.drop_privileges(uid)
    for name in [n for n in sys.modules if n.split(".")[0] == "sandbox"]:
        del sys.modules[name]  # a candidate may have a module of that name itself
    sys.path[:] = [p for p in sys.path if p not in ("", root)] + path
    warm_up(warm)
    CHILD_FILTER = lockdown.load_filter(lockdown.child_filter())
    control = socket.socket(fileno=control_fd)
    try:
        lock_and_serve(control, readable)
    except Exception as error:
        control.send(("E%s: %s" % (type(error).__name__, error)).encode("utf-8", "replace")[:200])
        raise


def warm_up(modules: "list[str]") -> None:
    """Import what candidates usually import, but leave out what those modules do after each fork.

    `random` would reseed itself there: that costs a tenth of a millisecond in every child, and makes a
    candidate's behaviour differ from run to run. Its seed is the hash seed instead.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            continue  # a module that this interpreter does not have is simply not warm
    os.register_at_fork = register
    if "random" in sys.modules:
        sys.modules["random"].seed(int(os.environ.get("PYTHONHASHSEED", "0")))


def lock_and_serve(control: socket.socket, readable: list[str]) -> None:
    """The last steps: from here on nothing can be opened, started or reached."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    for what, limit in CHILD_LIMITS:  # inherited by every child; the zygote needs no more either
        resource.setrlimit(what, (limit, limit))
    abi = lockdown.restrict_files(readable)
    lockdown.install_filter(lockdown.load_filter(lockdown.zygote_filter()))
    gc.collect()
    gc.freeze()
    control.send(b"A" + bytes([abi]))
    Zygote(control).run()
