"""The warmed, locked process that forks one child per candidate.

It starts once per jail. It gives up its privileges, imports what candidates usually import, freezes that memory and
restricts itself (Landlock and the first seccomp filter). Then it only forks, waits, and kills when the supervisor
requests it. It holds no secret, reads no result, and has one thread.

Messages, one per packet. In: `F` slots with the children's sockets attached (`f` where their jobs were sent already),
`K` slot to kill it. Out: `A` with the Landlock version (`E` with an error instead), then `R` when ready; `X` with slot,
wait status and CPU seconds of each child that ended; `!` slot where fork failed.
"""

from __future__ import annotations

import _socket  # `socket` itself adds 900 KB of enums to every fork
import gc
import os
import resource
import select
import signal
import struct
import sys
from os import _exit, closerange, dup2
from signal import set_wakeup_fd
from typing import Any

from sandbox.jailed import awaited, built, canonical, footprint, known, lockdown, program, stand_ins, streams
from sandbox.jailed import child as child_module
from sandbox.jailed.child import CHANNEL

EXIT = struct.Struct("<Iid")
SLOT = struct.Struct("<I")
FD = struct.Struct("=i")
MOST_FORKS = 16
"""Most children requested in one message."""
REHEARSALS = 20
"""Runs of a sample job in the zygote, so that the interpreter has specialised the child's code."""

HIDDEN_FRAMES = 11
"""Frames of this process below the frames of a program; a script has two more."""


class Zygote:
    """The connection to the supervisor, and the living children."""

    def __init__(self, control: _socket.socket) -> None:
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
        data, ancillary, _, _ = self.control.recvmsg(128, 256)
        if not data:
            return False
        slots = [slot for (slot,) in SLOT.iter_unpack(data[1:])]
        if data[:1] == b"K":
            pid = self.slots.get(slots[0])
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            return True
        fds = [fd for _level, _kind, raw in ancillary for (fd,) in FD.iter_unpack(raw[: len(raw) // 4 * 4])]
        for slot, fd in zip(slots, fds):  # noqa: B905 - Python 3.8 has no `strict`
            self.fork(slot, fd, data[:1] == b"F")
        for fd in fds:
            os.close(fd)
        if data[:1] == b"F":
            # No request waits now: copy the pages that the forks left shared and that reporting an end writes to.
            os.kill(os.getpid(), signal.SIGCHLD)
        return True

    def fork(self, slot: int, fd: int, ahead: bool) -> None:
        try:
            pid = os.fork()
        except OSError:
            self.control.send(b"!" + SLOT.pack(slot))
            return
        if pid == 0:
            run_child(fd, ahead)
        self.slots[slot] = pid
        self.pids[pid] = slot

    def reap(self) -> None:
        """Report ended children, several in one message where they ended together."""
        ended: list[bytes] = []
        while self.pids and len(ended) < MOST_FORKS:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            slot = self.pids.pop(pid)
            del self.slots[slot]
            ended.append(EXIT.pack(slot, status, usage.ru_utime + usage.ru_stime))
        if ended:
            self.control.send(b"X" + b"".join(ended))
        if len(ended) == MOST_FORKS:
            self.reap()


def run_child(fd: int, ahead: bool) -> None:
    """Become the child: close descriptors, install the filter, do the job."""
    try:
        set_wakeup_fd(-1)
        dup2(fd, CHANNEL)
        closerange(CHANNEL + 1, 1 << 12)
        if INSTALL_CHILD_FILTER() != 0:
            _exit(1)
        if ahead:
            CHILD.rehearse()
        CHILD.serve()
    finally:
        _exit(0)


CHILD_LIMITS = (
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, 128),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_STACK, 8 << 20),
)

# Prepared once by `main`, before the first fork.
CHILD: Any = None
INSTALL_CHILD_FILTER: Any = None


def main(control_fd: int, uid: int, readable: list[str], root: str, path: list[str], warm: list[str]) -> None:
    # 1. Read the sandbox's own files, which may be out of reach later. Each module follows those that it imports.
    with open(os.path.join(os.path.dirname(__file__), "loop.py")) as file:
        loop_source = file.read()
    modules = (
        *(known, stand_ins, program, awaited, canonical, built, streams),
        *(child_module, sys.modules[__name__]),
    )
    images = [(module, footprint.image(module)) for module in modules]
    # In tier 2 the dedicated user may be unable to read root's interpreter later.
    if not root.startswith("/ucoder"):
        warm_up(warm)
    lockdown.drop_privileges(uid)
    # 2. Import what candidates usually import, then make the modules above again in fresh memory.
    sys.path[:] = [p for p in sys.path if p not in ("", root)] + path
    warm_up(warm)
    gc.collect()
    footprint.fill_holes()
    *_, zygote = [footprint.anew(module, code) for module, code in images]
    for name in [n for n in sys.modules if n.split(".")[0] == "sandbox"]:
        del sys.modules[name]  # a candidate may import a module of that name
    # 3. Lock everything, and serve.
    control = _socket.socket(fileno=control_fd)
    try:
        zygote.lock_and_serve(control, readable, loop_source)
    except Exception as error:
        control.send(("E%s: %s" % (type(error).__name__, error)).encode("utf-8", "replace")[:200])
        raise


def warm_up(modules: list[str]) -> None:
    """Import what candidates usually import, without hooks after each fork.

    `random` would reseed itself there. That costs a tenth of a millisecond in every child, and makes the behaviour of a
    candidate differ from run to run. Its seed is the hash seed instead.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            continue  # a module that this interpreter lacks is simply not warm
    os.register_at_fork = register
    if "random" in sys.modules:
        sys.modules["random"].seed(int(os.environ.get("PYTHONHASHSEED", "0")))


def lock_and_serve(control: _socket.socket, readable: list[str], loop_source: str) -> None:
    """Apply all restrictions and serve.

    From here on nothing can be opened, started or reached.
    """
    global CHILD, INSTALL_CHILD_FILTER  # noqa: PLW0603 - prepared once, so that a child only reads them
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    for what, limit in CHILD_LIMITS:  # inherited by every child, and enough for the zygote
        resource.setrlimit(what, (limit, limit))
    abi = lockdown.restrict_files(readable)
    lockdown.install_filter(lockdown.load_filter(lockdown.zygote_filter()))
    INSTALL_CHILD_FILTER = lockdown.installer(lockdown.child_filter())
    awaited.LOOP_SOURCE = loop_source
    program.set_up(HIDDEN_FRAMES)
    CHILD = child_module.Child()
    for _ in range(REHEARSALS):
        CHILD.rehearse()
    gc.collect()
    footprint.fill_holes()
    footprint.collapse()
    gc.freeze()
    control.send(b"A" + bytes([abi]))
    Zygote(control).run()
