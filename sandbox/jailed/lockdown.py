"""Give up every power, by system call: privileges, file access (Landlock), system calls (seccomp).

The jail's interpreter has nothing of ours installed, so this is `ctypes` on libc and nothing else; the
seccomp filters are the jail's policy, written out below. Two filters stack: the zygote's allow-list, which
its children inherit, and the child's, which takes fork, wait, kill and descriptor passing away again.

What is not covered: bugs of the kernel itself, and side channels of shared hardware.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SIGKILL, SIGXCPU = 9, 24
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ENOSYS, EPERM, ENOTTY = 38, 1, 25

_libc = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """This kernel or processor lacks what the jail relies on."""


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise Unsupported("%s: %s" % (what, os.strerror(number)))
    return result


def drop_privileges(uid: int) -> None:
    """Become the dedicated user for good: from root, inside a jail made without a user namespace."""
    if os.getuid() == 0 and uid != 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # A change of user forgets this, and in tier 2 nobody has asked for it before: die with the parent.
    _checked(_libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "parent's death")
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(_libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


# ------------------------------------------------------------------------------------------- Landlock

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FS_READ_FILE, _FS_READ_DIR = 1 << 2, 1 << 3
_FS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many access rights an ABI knows


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 where there is none (asked by system call: /sys may not say)."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def restrict_files(readable: list[str]) -> int:
    """Deny every file operation but reading below `readable`, and TCP, abstract sockets and signals out.

    Returns the ABI that was used; 0 means the kernel has no Landlock and nothing was restricted.
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

# name: (x86_64, aarch64); None where the architecture has no such call.
CALLS = {
    "read": (0, 63), "write": (1, 64), "open": (2, None), "close": (3, 57), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "ioctl": (16, 29), "pread64": (17, 67),
    "readv": (19, 65), "writev": (20, 66), "access": (21, None), "select": (23, None),
    "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "pause": (34, None), "nanosleep": (35, 101), "getitimer": (36, 102),
    "alarm": (37, None), "setitimer": (38, 103), "getpid": (39, 172), "exit": (60, 93), "uname": (63, 160),
    "fcntl": (72, 25), "getcwd": (79, 17), "readlink": (89, None), "gettimeofday": (96, 169),
    "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179), "times": (100, 153),
    "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177),
    "getresuid": (118, 148), "getresgid": (120, 150), "getgroups": (115, 158),
    "getppid": (110, 173), "sigaltstack": (131, 132), "gettid": (186, 178), "time": (201, None),
    "futex": (202, 98), "sched_getaffinity": (204, 123), "getdents64": (217, 61),
    "set_tid_address": (218, 96), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94),
    "openat": (257, 56), "newfstatat": (262, 79), "readlinkat": (267, 78), "faccessat": (269, 48),
    "ppoll": (271, 73), "pselect6": (270, 72), "set_robust_list": (273, 99), "prlimit64": (302, 261),
    "getrandom": (318, 278), "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439),
    "close_range": (436, 436), "pipe2": (293, 59),
    # The zygote alone:
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435), "wait4": (61, 260),
    "waitid": (247, 95), "kill": (62, 129), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "sendto": (44, 206), "recvfrom": (45, 207), "shutdown": (48, 210), "prctl": (157, 167),
    "seccomp": (317, 277),
    # Nobody; named so that using one is a reported crime and not an unknown call:
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "socket": (41, 198),
    "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104), "reboot": (169, 142), "setuid": (105, 146), "setgid": (106, 144),
    "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147), "setresgid": (119, 149),
    "setgroups": (116, 159), "setfsuid": (122, 151), "setfsgid": (123, 152), "capset": (126, 91),
    "personality": (135, 92), "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190),
    "msgget": (68, 186), "setpgid": (109, 154), "setsid": (112, 157), "landlock_create_ruleset": (444, 444),
}  # fmt: skip

ZYGOTE_ONLY = (
    "clone", "wait4", "waitid", "kill", "sendmsg", "recvmsg", "sendto", "recvfrom", "prctl", "seccomp",
)  # fmt: skip
FORBIDDEN = (
    "fork", "vfork", "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "tkill",
    "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal", "pidfd_getfd",
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "unshare", "setns", "mount",
    "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "bpf", "userfaultfd", "perf_event_open", "add_key", "request_key",
    "keyctl", "memfd_create", "memfd_secret", "inotify_init", "inotify_init1", "inotify_add_watch",
    "fanotify_init", "init_module", "finit_module", "kexec_load", "reboot", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset", "personality",
    "shmget", "shmat", "semget", "msgget", "setpgid", "setsid", "landlock_create_ruleset",
)  # fmt: skip
ALLOWED = tuple(
    n
    for n in CALLS
    if n not in FORBIDDEN and n not in ("clone", "clone3", "fcntl", "ioctl", "prlimit64", "mmap")
)

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)

# glibc's fork() is clone() with exactly these flags beside the signal; a thread or a namespace needs others.
_FORK_FLAGS = 0x01000000 | 0x00200000 | 17  # CHILD_SETTID | CHILD_CLEARTID | SIGCHLD


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
    """`if call == number: body`; the accumulator holds the call's number, and `body` must return."""
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
    """The allow-list: known-harmless calls pass, known crimes kill, unknown calls do not exist (ENOSYS)."""
    arch, column = _architecture()
    low, second = 16, 24  # offsets of the first two arguments' lower halves
    body = _prologue(arch, column)
    # mmap and mprotect pass whole: a JIT-free interpreter maps libraries, and W^X would break ctypes users.
    for name in ("mmap", *ALLOWED):
        body += _when(CALLS[name][column], _ret(ALLOW))
    body += _when(
        CALLS["clone"][column],
        _load(low), _ins(0x15, 0, 1, _FORK_FLAGS), _ret(ALLOW), _ret(KILL),
    )  # fmt: skip
    body += _when(  # prlimit64 of oneself only: lowering a sibling's limits would be sabotage
        CALLS["prlimit64"][column],
        _load(low), _ins(0x15, 0, 1, 0), _ret(ALLOW), _ret(ERRNO | EPERM),
    )  # fmt: skip
    body += _when(  # the others could make a descriptor send its owner signals, and the owner is whom it names
        CALLS["fcntl"][column],
        _load(second), *(_ins(0x15, 0, 1, command) + _ret(ALLOW) for command in _FCNTL_COMMANDS), _ret(KILL),
    )  # fmt: skip
    body += _when(CALLS["ioctl"][column], _ret(ERRNO | ENOTTY))
    for name in FORBIDDEN:
        body += _when(CALLS[name][column], _ret(KILL))
    return body + _ret(ERRNO | ENOSYS)


def child_filter() -> bytes:
    """What the child loses beyond the zygote's filter: processes, waiting, signals, descriptor passing."""
    arch, column = _architecture()
    body = _prologue(arch, column)
    for name in (*ZYGOTE_ONLY, "clone3"):
        body += _when(CALLS[name][column], _ret(KILL))
    return body + _ret(ALLOW)


COMMAND_DENIED = (
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "unshare", "setns", "mount", "umount2",
    "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "bpf", "userfaultfd", "perf_event_open", "add_key", "request_key", "keyctl",
    "fanotify_init", "init_module", "finit_module", "kexec_load", "reboot",
)  # fmt: skip
_NAMESPACE_FLAGS = 0x7E020000


def command_filter() -> bytes:
    """For a whole command (which may fork, thread and execute): the kernel's rarer doors fail with EPERM."""
    arch, column = _architecture()
    body = _prologue(arch, column)
    for name in COMMAND_DENIED:
        body += _when(CALLS[name][column], _ret(ERRNO | EPERM))
    body += _when(CALLS["clone3"][column], _ret(ERRNO | ENOSYS))  # its flags are in memory; libc falls back
    body += _when(
        CALLS["clone"][column],
        _load(16), _ins(0x45, 0, 1, _NAMESPACE_FLAGS), _ret(ERRNO | EPERM), _ret(ALLOW),
    )  # fmt: skip
    return body + _ret(ALLOW)


PROCESSES_AND_SIGNALS = (
    "fork", "vfork", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal",
)  # fmt: skip
_CLONE_THREAD = 0x00010000
_SAID_KILLED = 128 + SIGKILL


def one_process_filter() -> bytes:
    """On top of a command's filter: threads but no processes, no signals (but a thread's own, for abort), no lies.

    SIGXCPU cannot be caught: setting its handler does nothing and reports success, since Node insists on it. And
    the exit code by which bubblewrap reports a SIGKILL is not the program's to choose: only the host sends that one.
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
        _load(low), _ins(0x54, 0, 0, 0xFF), _ins(0x15, 0, 1, _SAID_KILLED), _ret(KILL), _ret(ALLOW),
    )  # fmt: skip
    return body + _ret(ALLOW)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def load_filter(code: bytes) -> _Program:
    """Prepare a filter once, so that a child only has to install it."""
    return _Program(len(code) // 8, code)


def installer(code: bytes) -> "Callable[[], int]":
    """What a fresh child calls to install a filter; it answers 0, or the filter is not there.

    Everything is prepared: each object that a fresh child touches is a page that the kernel copies.
    """
    program = ctypes.byref(load_filter(code))
    return functools.partial(ctypes.CDLL(None).prctl, PR_SET_SECCOMP, 2, program, 0, 0)


def install_filter(program: _Program) -> None:
    """From here on the kernel holds this process, and all it starts, to the filter."""
    _checked(_libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp filter")
