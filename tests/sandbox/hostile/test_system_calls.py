"""Test that programs cannot reach anything outside the jail.

That is: no file, process, network or kernel feature.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.values import Value
from tests.sandbox.hostile.attack import CTYPES, STOPPED, attack, only_x86, syscall

pytestmark = pytest.mark.hostile


@only_x86
@pytest.mark.parametrize("number", [101, 310, 311], ids=["ptrace", "process_vm_readv", "process_vm_writev"])
def test_other_processes_cannot_be_read(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "16", "1", "0", "0", "0", "0").status is Status.SECCOMP


@pytest.mark.parametrize(
    "path", ["/proc/1/mem", "/proc/self/fd", "/proc/self/environ", "/proc/1/root/etc/passwd", "/sys/kernel"]
)
def test_proc_and_sys_are_absent(box: Sandbox, path: str) -> None:
    source = f"import os\ndef f(p={path!r}):\n    return os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(9)"
    assert attack(box, source).status is Status.EXCEPTION


@pytest.mark.parametrize("program", ["/bin/true", "/usr/bin/su", "/bin/sh", "/proc/self/exe"])
def test_no_program_can_be_started(box: Sandbox, program: str) -> None:
    assert attack(box, f"import os\ndef f(): os.execv({program!r}, ['x'])").status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (319, ["b'x'", "0"]),
        (322, ["3", "b''", "0", "0", "4096"]),
        (105, ["0"]),
        (117, ["0", "0", "0"]),
        (135, ["8"]),
    ],
    ids=["memfd_create", "execveat", "setuid", "setresuid", "personality"],
)
def test_privileges_cannot_be_gained(box: Sandbox, number: int, arguments: list[str]) -> None:
    assert syscall(box, number, *arguments).status is Status.SECCOMP


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
def test_sockets_cannot_be_opened(box: Sandbox, family: str) -> None:
    source = (
        f"import _socket\ndef f():\n    return _socket.socket(_socket.{family}, _socket.SOCK_DGRAM).fileno()"
    )
    assert attack(box, source).status in STOPPED


@only_x86
@pytest.mark.parametrize("number", [46, 47, 53], ids=["sendmsg", "recvmsg", "socketpair"])
def test_descriptors_cannot_be_passed(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "3", "0", "0", "0").status is Status.SECCOMP


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/root/.bashrc",
        "/home",
        "/ucoder/sandbox/jailed/zygote.py",
        "/tmp/../etc/hosts",
    ],
)
def test_host_files_cannot_be_read(box: Sandbox, path: str) -> None:
    source = (
        f"import os\ndef f(p={path!r}):\n    return os.listdir(p) if os.path.isdir(p) else open(p).read()"
    )
    assert attack(box, source).status is Status.EXCEPTION


def test_the_sources_of_the_sandbox_cannot_be_read(box: Sandbox) -> None:
    source = (
        "import sys\ndef f():\n    frame = sys._getframe()\n    while frame:\n        name = frame.f_code.co_filename\n"
        "        if 'jailed' in name: return open(name).read()\n        frame = frame.f_back"
    )
    assert attack(box, source).status is Status.EXCEPTION


@pytest.mark.parametrize(
    "call", ["os.symlink('/etc/passwd', {0!r})", "os.link('/etc/ld.so.cache', {0!r})", "os.mkdir({0!r})"]
)
def test_nothing_can_be_created(box: Sandbox, call: str) -> None:
    for place in ("/tmp/x", "x", "/dev/x"):
        assert attack(box, f"import os\ndef f():\n    {call.format(place)}").status is Status.EXCEPTION


def test_canary_outside_cannot_be_touched(box: Sandbox, tmp_path: Path) -> None:
    for mode in ("r", "w", "a", "r+"):
        assert (
            attack(box, f"def f(): return open({str(tmp_path / 'canary')!r}, {mode!r})").status
            is Status.EXCEPTION
        )
    assert (
        attack(box, f"import os\ndef f(): os.remove({str(tmp_path / 'canary')!r})").status is Status.EXCEPTION
    )


@pytest.mark.parametrize("place", ["/tmp/fill", "fill", "/dev/shm/fill", "/fill"])
def test_disk_cannot_be_filled_and_no_state_is_left(box: Sandbox, place: str) -> None:
    source = (
        f"def f():\n    with open({place!r}, 'wb') as file:\n        while True: file.write(b'x' * 65536)"
    )
    assert attack(box, source).status is Status.EXCEPTION
    assert attack(box, f"import os\ndef f(): return os.path.exists({place!r})").value == Value.of(False)


@only_x86
@pytest.mark.parametrize(
    "number",
    [272, 165, 166, 308, 155, 161, 425, 426, 427, 321, 323, 248, 249, 250, 298, 428, 430, 432, 429, 434, 438],
)
def test_dangerous_system_calls_are_stopped(box: Sandbox, number: int) -> None:
    """Make calls for namespaces, mounts, tracing, keys and other processes.

    They are: unshare, mount, umount, setns, pivot_root, chroot, io_uring, bpf, userfaultfd, keys, perf, mount API,
    pidfd.
    """
    assert syscall(box, number, "0x10000000", "0", "0", "0", "0").status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize("number", [253, 294, 254, 300, 29, 30, 64, 68], ids=str)
def test_inotify_and_shared_memory_are_stopped(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "0", "0", "0").status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize(
    "number",
    [213, 291, 233, 232, 290, 289, 283],
    ids=[
        "epoll_create",
        "epoll_create1",
        "epoll_ctl",
        "epoll_wait",
        "eventfd2",
        "signalfd4",
        "timerfd_create",
    ],
)
def test_epoll_and_similar_descriptors_do_not_exist(box: Sandbox, number: int) -> None:
    source = f"{CTYPES}def f():\n    return libc.syscall({number}, 1, 0, 0, 0), ctypes.get_errno()"
    assert attack(box, source).value == Value.of((-1, errno.ENOSYS))


@only_x86
def test_calls_of_another_architecture_are_stopped(box: Sandbox) -> None:
    """Make a call of the x32 ABI.

    It has the same architecture number and other call numbers: 0x40000000 is set in them.
    """
    assert syscall(box, 0x40000000 + 39).status is Status.SECCOMP


def test_descriptors_run_out_for_the_candidate_only(box: Sandbox) -> None:
    source = "import os\ndef f():\n    while True: os.pipe()"
    assert attack(box, source).status is Status.EXCEPTION


def test_memory_cannot_be_locked(box: Sandbox) -> None:
    outcome = attack(box, f"{CTYPES}def f():\n    return libc.mlockall(3)")
    assert outcome.value == Value.of(-1)
