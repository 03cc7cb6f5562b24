"""Give up privileges, file access (Landlock) and system calls (seccomp).

The jail's interpreter has none of this project's packages installed, so this module uses `ctypes` on libc and nothing
else. The policy is in `sandbox.jailed.syscalls`. Two filters stack: the zygote's allow-list, which its children
inherit, and the child's filter, which also removes fork, wait, kill and descriptor passing, and leaves threads.

What is not covered: bugs of the kernel itself, and side channels of shared hardware.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
from collections.abc import Callable

from sandbox.jailed.syscalls import (
    ALLOWED,
    CALLS,
    COMMAND_DENIED,
    FORBIDDEN,
    PROCESSES_AND_SIGNALS,
    ZYGOTE_ONLY,
)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SIGKILL, SIGXCPU = 9, 24
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ENOSYS, EPERM, ENOTTY = 38, 1, 25

_libc = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """Raised where this kernel or processor lacks a necessary feature."""


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise Unsupported("%s: %s" % (what, os.strerror(number)))
    return result


def drop_privileges(uid: int) -> None:
    """Become the dedicated user for good, and rule out new privileges.

    Only root changes the user here: its jail has no user namespace.
    """
    if os.getuid() == 0 and uid != 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Die with the parent. A change of user resets this, and in tier 2 nothing has set it before.
    _checked(_libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "parent's death")
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(_libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


# ------------------------------------------------------------------------------------------- Landlock

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FS_READ_FILE, _FS_READ_DIR = 1 << 2, 1 << 3
_FS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of access rights by ABI


def landlock_abi() -> int:
    """The Landlock version of the kernel, 0 for none.

    Read by system call, since /sys may not show it.
    """
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def restrict_files(readable: list[str]) -> int:
    """Deny every file operation except reading below `readable`.

    TCP is denied too, and so are abstract sockets and signals to the outside.

    Returns the Landlock version that was used. With 0 the kernel has no Landlock, and nothing was restricted.
    """
    abi = landlock_abi()
    if abi == 0:
        return 0
    handled_fs = (1 << _FS_BY_ABI.get(abi, 16)) - 1
    handled_net = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0
    attr = struct.pack("QQQ", handled_fs, handled_net, scoped)
    attr = attr[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _checked(
        _libc.syscall(_LANDLOCK_CREATE, attr, ctypes.c_size_t(len(attr)), 0), "landlock_create_ruleset"
    )
    for path in readable:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        access = _FS_READ_FILE | (_FS_READ_DIR if os.path.isdir(path) else 0)
        rule = struct.pack("=Qi", access, fd)
        _checked(_libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0), "landlock_add_rule")
        os.close(fd)
    _checked(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)
    return abi


# -------------------------------------------------------------------------------------------- seccomp

_ARCHES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)

# glibc's fork() and pthread_create() are clone() with exactly these flags; processes and namespaces need others.
_FORK_FLAGS = 0x01000000 | 0x00200000 | 17  # CHILD_SETTID | CHILD_CLEARTID | SIGCHLD
# VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS | PARENT_SETTID | CHILD_CLEARTID
_THREAD_FLAGS = 0x003D0F00
PR_SET_NAME = 15


def _architecture() -> tuple[int, int]:
    machine = platform.machine() if not hasattr(os, "uname") else os.uname().machine
    if machine not in _ARCHES:
        raise Unsupported("no seccomp policy for processor %s (known: %s)" % (machine, ", ".join(_ARCHES)))
    return _ARCHES[machine]


def _ins(code: int, jt: int, jf: int, k: int) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


def _load(offset: int) -> bytes:
    return _ins(0x20, 0, 0, offset)


def _ret(action: int) -> bytes:
    return _ins(0x06, 0, 0, action)


def _when(number: int | None, *body: bytes) -> bytes:
    """Build `if call == number: body`.

    The accumulator holds the call's number, and `body` must return.
    """
    if number is None:
        return b""
    instructions = b"".join(body)
    return _ins(0x15, 0, len(instructions) // 8, number) + instructions


def _prologue(arch: int, column: int) -> bytes:
    check = _load(4) + _ins(0x15, 1, 0, arch) + _ret(KILL) + _load(0)
    if column == 0:  # the x32 ABI shares the architecture's number: its calls have bit 30 set
        check += _ins(0x35, 0, 1, 0x40000000) + _ret(KILL)
    return check


def zygote_filter() -> bytes:
    """Build the zygote's allow-list.

    Harmless calls pass, forbidden calls kill, and unknown calls do not exist (ENOSYS).
    """
    arch, column = _architecture()
    low, second = 16, 24  # offsets of the first two arguments' lower halves
    body = _prologue(arch, column)
    # mmap and mprotect pass with any arguments: an interpreter maps libraries, and W^X would break ctypes.
    for name in ("mmap", *ALLOWED):
        body += _when(CALLS[name][column], _ret(ALLOW))
    body += _when(
        CALLS["clone"][column],
        _load(low), *(_ins(0x15, 0, 1, flags) + _ret(ALLOW) for flags in (_FORK_FLAGS, _THREAD_FLAGS)), _ret(KILL),
    )  # fmt: skip
    body += _when(  # prlimit64 for the caller only: lowering a sibling's limits would be sabotage
        CALLS["prlimit64"][column],
        _load(low), _ins(0x15, 0, 1, 0), _ret(ALLOW), _ret(ERRNO | EPERM),
    )  # fmt: skip
    body += _when(  # other commands could make a descriptor send signals to any process named as its owner
        CALLS["fcntl"][column],
        _load(second), *(_ins(0x15, 0, 1, command) + _ret(ALLOW) for command in _FCNTL_COMMANDS), _ret(KILL),
    )  # fmt: skip
    body += _when(CALLS["ioctl"][column], _ret(ERRNO | ENOTTY))
    for name in FORBIDDEN:
        body += _when(CALLS[name][column], _ret(KILL))
    return body + _ret(ERRNO | ENOSYS)


def child_filter() -> bytes:
    """Build the child's filter, on top of the zygote's.

    It removes processes, waiting, signals and descriptor passing. Threads of the same process are left. `clone3`, whose
    flags a filter cannot read, does not exist for the zygote either; glibc then uses `clone`.
    """
    arch, column = _architecture()
    low = 16  # offset of the first argument's lower half
    body = _prologue(arch, column)
    body += _when(
        CALLS["clone"][column],
        _load(low), _ins(0x15, 0, 1, _THREAD_FLAGS), _ret(ALLOW), _ret(KILL),
    )  # fmt: skip
    body += _when(  # the interpreter names its threads since Python 3.14
        CALLS["prctl"][column],
        _load(low), _ins(0x15, 0, 1, PR_SET_NAME), _ret(ALLOW), _ret(KILL),
    )  # fmt: skip
    for name in ZYGOTE_ONLY:
        body += _when(CALLS[name][column], _ret(KILL))
    return body + _ret(ALLOW)


_NAMESPACE_FLAGS = 0x7E020000


def command_filter() -> bytes:
    """Build the filter for a whole command.

    A command may fork, thread and execute; rarer calls fail with EPERM.
    """
    arch, column = _architecture()
    body = _prologue(arch, column)
    for name in COMMAND_DENIED:
        body += _when(CALLS[name][column], _ret(ERRNO | EPERM))
    body += _when(
        CALLS["clone3"][column], _ret(ERRNO | ENOSYS)
    )  # its flags are in memory; libc falls back to clone
    body += _when(
        CALLS["clone"][column],
        _load(16), _ins(0x45, 0, 1, _NAMESPACE_FLAGS), _ret(ERRNO | EPERM), _ret(ALLOW),
    )  # fmt: skip
    return body + _ret(ALLOW)


_CLONE_THREAD = 0x00010000
_EXIT_AS_KILLED = 128 + SIGKILL


def one_process_filter() -> bytes:
    """Build the filter for a runtime, on top of a command's.

    It allows threads, but no processes and no signals.

    A thread may signal itself, for abort. SIGXCPU cannot be caught: setting its handler does nothing and reports
    success, since Node requires that. The exit code by which bubblewrap reports a SIGKILL kills the process: only the
    host sends that signal, so a program must not imitate it.
    """
    arch, column = _architecture()
    low = 16  # offset of the first argument's lower half
    body = _prologue(arch, column)
    for name in PROCESSES_AND_SIGNALS:
        body += _when(CALLS[name][column], _ret(ERRNO | EPERM))
    body += _when(
        CALLS["clone"][column],
        _load(low), _ins(0x45, 1, 0, _CLONE_THREAD), _ret(ERRNO | EPERM), _ret(ALLOW),
    )  # fmt: skip
    body += _when(
        CALLS["rt_sigaction"][column],
        _load(low), _ins(0x15, 0, 1, SIGXCPU), _ret(ERRNO), _ret(ALLOW),
    )  # fmt: skip
    body += _when(
        CALLS["exit_group"][column],
        _load(low), _ins(0x54, 0, 0, 0xFF), _ins(0x15, 0, 1, _EXIT_AS_KILLED), _ret(KILL), _ret(ALLOW),
    )  # fmt: skip
    return body + _ret(ALLOW)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def load_filter(code: bytes) -> _Program:
    """Prepare a filter once, so that a child only installs it."""
    return _Program(len(code) // 8, code)


def installer(code: bytes) -> Callable[[], int]:
    """Prepare a call that installs a filter in a fresh child.

    The call returns 0 exactly when the filter is installed.

    Everything is made beforehand: each object that a fresh child touches is a page that the kernel copies.
    """
    program = ctypes.byref(load_filter(code))
    return functools.partial(ctypes.CDLL(None).prctl, PR_SET_SECCOMP, 2, program, 0, 0)


def install_filter(program: _Program) -> None:
    """Apply the filter to this process and its children, for good."""
    _checked(_libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp filter")
