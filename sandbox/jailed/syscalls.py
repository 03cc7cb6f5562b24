"""The system calls of the jail's seccomp policy, by number and treatment.

`sandbox.jailed.lockdown` builds the filters from these tables. A call in no list does not exist for the zygote and its
children (ENOSYS).
"""

from __future__ import annotations

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
    # For the zygote only:
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435), "wait4": (61, 260),
    "waitid": (247, 95), "kill": (62, 129), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "sendto": (44, 206), "recvfrom": (45, 207), "shutdown": (48, 210), "prctl": (157, 167),
    "seccomp": (317, 277),
    # For no process; named so that using one kills the caller instead of failing as unknown:
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
"""Numbers by name: (x86_64, aarch64). None where the architecture has no such call."""

ZYGOTE_ONLY = (
    "clone", "wait4", "waitid", "kill", "sendmsg", "recvmsg", "sendto", "recvfrom", "prctl", "seccomp",
)  # fmt: skip
"""Calls that the zygote may make and a child may not: processes, waiting, signals, descriptor passing."""

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
"""Calls that kill the zygote or the child that makes them."""

ALLOWED = tuple(
    n
    for n in CALLS
    if n not in FORBIDDEN and n not in ("clone", "clone3", "fcntl", "ioctl", "prlimit64", "mmap")
)
"""Calls that pass with any arguments; mmap too, checked first because it is frequent."""

COMMAND_DENIED = (
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "unshare", "setns", "mount", "umount2",
    "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "bpf", "userfaultfd", "perf_event_open", "add_key", "request_key", "keyctl",
    "fanotify_init", "init_module", "finit_module", "kexec_load", "reboot",
)  # fmt: skip
"""Calls that fail with EPERM for a whole command and for a runtime."""

PROCESSES_AND_SIGNALS = (
    "fork", "vfork", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal",
)  # fmt: skip
"""Calls that fail with EPERM for a runtime, on top of those of a command."""
