"""The sandbox survives hostile programs; each test is named after the promise that it checks.

After every one: the zygote is the same process and still answers, nothing is left running, and the canary
file outside is unchanged. Runs on every tier this host offers.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job, Program, Script
from sandbox.values import Value

pytestmark = pytest.mark.hostile

QUICK = Limits(probe_wall_s=0.4, job_wall_s=2.0, cpu_s=2, memory_bytes=256 * MIB)
STOPPED = {Status.SECCOMP, Status.EXCEPTION}
CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.fixture(autouse=True)
def _healthy_afterwards(box: Sandbox, tmp_path: Path) -> Iterator[None]:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    canary.chmod(0o666)
    tmp_path.chmod(0o777)
    before = box.zygotes()
    yield
    good = box.run_one(Job(Program("def f(x): return x + 1"), (Call("f", (41,)),), QUICK))
    assert good.outcomes[0].value == Value.of(42)
    assert box.zygotes() == before, "a zygote died of a candidate"
    assert canary.read_text() == "alive"
    deadline = time.monotonic() + 5
    while (left := box.busy()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == 0, "candidates are still running"


def attack(box: Sandbox, source: str, limits: Limits = QUICK) -> Outcome:
    """Run `f()` of an attacking program."""
    return whole(box, source, limits).outcomes[0]


def whole(box: Sandbox, source: str, limits: Limits = QUICK) -> JobResult:
    return box.run_one(Job(Program(source), (Call("f"),), limits))


def syscall(box: Sandbox, number: int, *arguments: str) -> Outcome:
    """Make one system call (x86-64 numbers); the value is its result."""
    call = ", ".join((str(number), *arguments))
    return attack(box, f"{CTYPES}def f():\n    return libc.syscall({call})")


only_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="raw system call numbers are x86-64's")


# 1-2: processes and threads


def test_fork_bomb_is_stopped(box: Sandbox) -> None:
    outcome = attack(box, "import os\ndef f():\n    while True: os.fork()")
    assert outcome.status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize("number", [56, 57, 58, 435], ids=["clone", "fork", "vfork", "clone3"])
def test_raw_clone_is_stopped(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "17", "0", "0", "0", "0").status is Status.SECCOMP


def test_threads_are_stopped(box: Sandbox) -> None:
    source = (
        "import threading\ndef f():\n    for _ in range(5000): threading.Thread(target=lambda: None).start()"
    )
    assert attack(box, source).status in STOPPED


# 3-8: memory, time


def test_one_huge_allocation_ends_as_memory(box: Sandbox) -> None:
    assert attack(box, "def f():\n    return len(bytearray(8 << 30))").status is Status.MEMORY


def test_slow_growth_ends_as_memory(box: Sandbox) -> None:
    limits = Limits(probe_wall_s=5, job_wall_s=10, cpu_s=10, memory_bytes=128 * MIB)
    outcome = attack(box, "def f():\n    xs = []\n    while True: xs.append(bytes(1 << 16))", limits)
    assert outcome.status is Status.MEMORY


def test_endless_loop_ignoring_signals_ends_as_wall(box: Sandbox) -> None:
    source = (
        "import signal\ndef f():\n    for s in range(1, 65):\n        try: signal.signal(s, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n    while True: pass"
    )
    assert attack(box, source).status is Status.WALL


def test_cpu_limit_holds_where_its_signal_is_ignored(box: Sandbox) -> None:
    limits = Limits(probe_wall_s=60, job_wall_s=80, cpu_s=1)  # generous wall time, for a busy machine
    source = (
        "import signal\ndef f():\n    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n    while True: pass"
    )
    assert attack(box, source, limits).status is Status.CPU


def test_sleep_ends_as_wall(box: Sandbox) -> None:
    assert attack(box, f"{CTYPES}def f():\n    libc.sleep(1000)").status is Status.WALL


def test_regular_expression_blow_up_ends_as_wall(box: Sandbox) -> None:
    assert attack(box, "import re\ndef f():\n    re.match('(a+)+$', 'a' * 40 + 'b')").status is Status.WALL


def test_huge_int_to_text_ends_as_wall(box: Sandbox) -> None:
    source = (
        "import sys\ndef f():\n    getattr(sys, 'set_int_max_str_digits', lambda n: 0)(0)\n"
        "    return len(str(1 << (1 << 27)))"
    )
    assert attack(box, source).status in {Status.WALL, Status.MEMORY}


def test_unlimited_recursion_is_survived(box: Sandbox) -> None:
    source = "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f() + 1"
    assert attack(box, source).status in {Status.SIGNAL, Status.MEMORY, Status.WALL}


# 9-12: crashes, floods, leaving


def test_null_dereference_ends_as_signal(box: Sandbox) -> None:
    outcome = attack(box, "import ctypes\ndef f(): return ctypes.string_at(0)")
    assert outcome.status is Status.SIGNAL


@pytest.mark.parametrize(
    "source",
    [
        "-" * 200_000 + "1",
        "(" * 5000 + ")" * 5000,
        "x = 1" + " ** 9" * 20_000,
        "f'{" * 300 + "1" + "}'" * 300,
    ],
    ids=["signs", "brackets", "powers", "strings"],
)
def test_compiler_bomb_is_survived(box: Sandbox, source: str) -> None:
    result = whole(box, source)
    assert result.load.status is not Status.OK
    assert result.load.status is not Status.INFRA
    assert result.outcomes[0].value is None


def test_constant_folding_bomb_is_survived(box: Sandbox) -> None:
    result = whole(box, "def f(): return len(((1,) * (1 << 20),) * (1 << 20) * (1 << 20))")
    assert result.outcomes[0].status in {Status.MEMORY, Status.EXCEPTION, Status.WALL}


@pytest.mark.parametrize("stream", ["stdout", "stdout.buffer"])
def test_output_flood_ends_as_output(box: Sandbox, stream: str) -> None:
    text = "b'x'" if stream.endswith("buffer") else "'x'"
    source = f"import sys\ndef f():\n    while True: sys.{stream}.write({text} * 1000)"
    assert attack(box, source).status is Status.OUTPUT


def test_swallowed_output_limit_is_still_output(box: Sandbox) -> None:
    source = (
        "def f():\n    for _ in range(1000):\n        try: print('x' * 1000)\n        except BaseException: pass\n"
        "    return 1"
    )
    assert attack(box, source).status is Status.OUTPUT


def test_error_stream_flood_is_harmless(box: Sandbox) -> None:
    source = (
        "import sys, os\ndef f():\n    for _ in range(5000):\n        sys.stderr.write('x' * 1000); os.write(2, b'x')\n"
        "    return 1"
    )
    assert attack(box, source).value == Value.of(1)


def test_oversized_result_ends_as_output(box: Sandbox) -> None:
    assert attack(box, "def f(): return 'x' * (1 << 20)").status is Status.OUTPUT


def test_result_pipe_flood_ends_as_protocol(box: Sandbox) -> None:
    source = "import os\ndef f():\n    while True: os.write(3, b'\\xff' * 4096)"
    assert attack(box, source).status is Status.PROTOCOL


def test_one_byte_at_a_time_ends_as_wall(box: Sandbox) -> None:
    source = "import os, time\ndef f():\n    while True: os.write(3, b'\\x40'); time.sleep(0.02); os.write(3, b'\\0')"
    assert attack(box, source).status in {Status.WALL, Status.PROTOCOL}


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("import os; os._exit(0)", Status.NO_RESULT),
        ("import os; os._exit(7)", Status.NO_RESULT),
        ("import sys; sys.exit(0)", Status.EXCEPTION),
        ("raise BaseException", Status.EXCEPTION),
        ("raise KeyboardInterrupt", Status.EXCEPTION),
    ],
)
def test_leaving_early_is_never_a_pass(box: Sandbox, statement: str, status: Status) -> None:
    assert attack(box, f"def f():\n    {statement}").status is status
    result = whole(box, statement)
    assert result.load.status is status
    assert result.outcomes[0].value is None


@pytest.mark.parametrize("target", ["os.getppid()", "-1", "1", "0", "os.getpid()", "os.getpid() + 1"])
@pytest.mark.parametrize("number", ["signal.SIGKILL", "signal.SIGSTOP"])
def test_signals_reach_no_process(box: Sandbox, target: str, number: str) -> None:
    source = f"import os, signal\ndef f():\n    os.kill({target}, {number})"
    assert attack(box, source).status is Status.SECCOMP


@pytest.mark.parametrize(
    ("command", "argument"),
    [
        (8, "os.getppid()"),
        (8, "os.getpid() + 1"),
        (10, "9"),
        (15, "ctypes.byref((ctypes.c_int * 2)(1, os.getppid()))"),
        (1024, "1"),
        (1026, "1"),
    ],
    ids=["setown-parent", "setown-sibling", "setsig", "setown_ex", "setlease", "notify"],
)
def test_no_descriptor_sends_signals_to_others(box: Sandbox, command: int, argument: str) -> None:
    """A pipe with O_ASYNC would send its owner any signal: the owner is a sibling, or the zygote."""
    source = (
        f"{CTYPES}import os\ndef f():\n    r, w = os.pipe()\n    return libc.fcntl(r, {command}, {argument})"
    )
    assert attack(box, source).status is Status.SECCOMP


@pytest.mark.parametrize(
    "request_number", [0x5452, 0x8901, 0x8902], ids=["FIOASYNC", "FIOSETOWN", "SIOCSPGRP"]
)
def test_no_ioctl_makes_a_descriptor_send_signals(box: Sandbox, request_number: int) -> None:
    source = (
        f"{CTYPES}import os\ndef f():\n    r, w = os.pipe()\n    one = ctypes.byref(ctypes.c_int(os.getppid()))\n"
        f"    return [(libc.ioctl(fd, {request_number}, one), ctypes.get_errno()) for fd in (r, 3)]"
    )
    assert attack(box, source).value == Value.of([(-1, 25), (-1, 25)])


def test_harmless_descriptor_flags_can_be_read_and_set(box: Sandbox) -> None:
    source = (
        f"{CTYPES}import os\ndef f():\n    r, w = os.pipe()\n    flags = libc.fcntl(r, 3)\n"
        "    assert libc.fcntl(r, 2, 0) == libc.fcntl(r, 4, flags | os.O_NONBLOCK) == 0\n"
        "    return os.get_inheritable(r), os.get_blocking(r), os.dup(r) > r, libc.fcntl(w, 1030, 0) > r"
    )
    assert attack(box, source).value == Value.of((True, False, True, True))


# 13-19: system calls and files


@only_x86
@pytest.mark.parametrize("number", [101, 310, 311], ids=["ptrace", "process_vm_readv", "process_vm_writev"])
def test_other_processes_cannot_be_read(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "16", "1", "0", "0", "0", "0").status is Status.SECCOMP


@pytest.mark.parametrize(
    "path", ["/proc/1/mem", "/proc/self/fd", "/proc/self/environ", "/proc/1/root/etc/passwd", "/sys/kernel"]
)
def test_no_proc_and_no_sys(box: Sandbox, path: str) -> None:
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
def test_no_sockets(box: Sandbox, family: str) -> None:
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
    """unshare, mount, umount, setns, pivot_root, chroot, io_uring, bpf, userfaultfd, keys, perf, mount API, pidfd."""
    assert syscall(box, number, "0x10000000", "0", "0", "0", "0").status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize("number", [253, 294, 254, 300, 29, 30, 64, 68], ids=str)
def test_no_inotify_and_no_shared_memory(box: Sandbox, number: int) -> None:
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
def test_no_epoll_and_no_descriptors_of_its_kind(box: Sandbox, number: int) -> None:
    source = f"{CTYPES}def f():\n    return libc.syscall({number}, 1, 0, 0, 0), ctypes.get_errno()"
    assert attack(box, source).value == Value.of((-1, errno.ENOSYS))


@only_x86
def test_calls_of_another_architecture_are_stopped(box: Sandbox) -> None:
    """The x32 ABI has the same architecture number and other call numbers: 0x40000000 is set in them."""
    assert syscall(box, 0x40000000 + 39).status is Status.SECCOMP


def test_descriptors_run_out_for_the_candidate_only(box: Sandbox) -> None:
    source = "import os\ndef f():\n    while True: os.pipe()"
    assert attack(box, source).status is Status.EXCEPTION


def test_memory_cannot_be_locked(box: Sandbox) -> None:
    outcome = attack(box, f"{CTYPES}def f():\n    return libc.mlockall(3)")
    assert outcome.value == Value.of(-1)


# 20-21: the channel


def test_closing_every_descriptor_is_never_a_pass(box: Sandbox) -> None:
    assert (
        attack(box, "import os\ndef f():\n    os.closerange(0, 4096)\n    return 1").status
        is Status.NO_RESULT
    )


def test_redirecting_every_descriptor_is_never_a_pass(box: Sandbox) -> None:
    source = "import os\ndef f():\n    for fd in range(1, 64): os.dup2(0, fd)\n    return 1"
    assert attack(box, source).status is Status.NO_RESULT


FORGE = """
import gc, os, sys, binascii
frame = sys._getframe()
while frame and 'self' not in frame.f_locals: frame = frame.f_back
child = frame.f_locals['self']
module = sys.modules[type(child).__module__] if type(child).__module__ in sys.modules else None
scope = type(child).serve.__globals__
BODY, HEADER = scope['BODY'], scope['HEADER']
def frame_of(kind, index, value=b'', status=0, seed=None):
    body = BODY.pack(kind, index, status, 0.0, len(value), 0, 0, 0) + value
    return HEADER.pack(len(body), binascii.crc32(body, child.seed if seed is None else seed)) + body
def say(*parts): os.write(3, b''.join(parts))
"""


@pytest.mark.parametrize(
    "forgery",
    [
        "say(frame_of(b'P', 0, b'i2a;'))",  # before loading was reported
        "say(frame_of(b'E', 0))",
        "say(frame_of(b'S', 0))",
        "say(frame_of(b'C', 0), frame_of(b'C', 0))",
        "say(frame_of(b'L', 0), frame_of(b'L', 0))",
        "say(frame_of(b'L', 0), frame_of(b'P', 5, b'i2a;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'i2a;', seed=1))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'fNaN;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'i02a;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'l1:' * 5000 + b'N'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b's3:\\xff\\xff\\xff'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'S2:i2;i1;'))",
        "say(b'\\xff\\xff\\xff\\x7f' + b'\\0' * 100)",
    ],
)
def test_forged_frames_are_never_a_pass(box: Sandbox, forgery: str) -> None:
    result = whole(box, FORGE + forgery + "\nos._exit(0)")
    assert result.load.status is Status.PROTOCOL
    assert result.outcomes[0].status is Status.PROTOCOL


def test_answering_twice_is_never_a_pass(box: Sandbox) -> None:
    source = FORGE + "def f():\n    say(frame_of(b'P', 0, b'i2a;'))\n    return 42"
    assert attack(box, source).status is Status.PROTOCOL


def test_answer_followed_by_a_crash_is_never_a_pass(box: Sandbox) -> None:
    source = (
        FORGE + "def f():\n    child.flush(); say(frame_of(b'P', 0, b'i2a;'), frame_of(b'E', 0)); os._exit(3)"
    )
    assert attack(box, source).status is Status.PROTOCOL


# 22-25: harness tricks


def test_monkeypatched_builtins_stay_in_the_child(box: Sandbox) -> None:
    source = (
        "import builtins, json, sys\nbuiltins.len = lambda x: 7\nbuiltins.type = lambda x: int\n"
        "json.dumps = json.loads = None\nsys.settrace(lambda *a: None)\n"
        "class Hook:\n    def find_spec(self, *a): raise SystemExit\nsys.meta_path.insert(0, Hook())\n"
        "def f(): return 42"
    )
    assert attack(box, source).status is Status.PROTOCOL, "its frames have the length that it made up"
    assert attack(box, "import json\ndef f(): return len(json.dumps([1]))").value == Value.of(3)


def test_a_candidate_finds_nothing_of_other_jobs_in_its_memory(box: Sandbox) -> None:
    """Neither the probes nor the answers of other jobs; finding its own argument shows that the search works."""
    secret = 918273645546372819
    source = (
        "import gc, sys\ndef f(x):\n    frame, seen = sys._getframe(), []\n    while frame:\n"
        "        seen.append(frame.f_locals); frame = frame.f_back\n    seen += gc.get_objects()\n"
        "    held = (s.values() if type(s) is dict else s if type(s) in (list, tuple) else () for s in seen)\n"
        "    return max((o for s in held for o in s\n"
        "                if type(o) is int and o % 1000003 == 918273645546372819 % 1000003 and o > 10**17), default=0)"
    )
    holder = Job(
        Program(f"def g(x): return [x, {secret}]\nheld = g({secret})"), (Call("g", (secret,)),), QUICK
    )
    snooper, informed = (Job(Program(source), (Call("f", (n,)),), QUICK) for n in (1, secret))
    found = [r.outcomes[0].value for r in box.run([holder, snooper, informed, holder, snooper] * 3)]
    assert found[1::5] == found[4::5] == [Value.of(0)] * 3
    assert found[2::5] == [Value.of(secret)] * 3


@pytest.mark.parametrize(
    "liar",
    [
        "class Liar:\n    def __eq__(self, other): return True\n    __hash__ = None",
        "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__",
        "class Liar(str):\n    def __repr__(self): return '42'",
        "class Liar:\n    def __reduce__(self): return (eval, ('42',))",
        "class Liar(list):\n    def __iter__(self): return iter([42])",
        "class Meta(type):\n    __name__ = 'int'\nclass Liar(metaclass=Meta): pass",
        "class Liar(float): pass",
    ],
)
def test_objects_that_equal_everything_are_opaque_and_equal_nothing(box: Sandbox, liar: str) -> None:
    for expression in ("Liar()", "[Liar()]", "{1: Liar()}"):
        outcome = attack(box, f"{liar}\ndef f(): return {expression}")
        assert outcome.status is Status.OK
        assert outcome.value is not None
        assert outcome.value.opaque
        assert outcome.value != outcome.value
        for honest in (42, "42", [42], 0, "", [], True, 0.0):
            assert outcome.value != Value.of(honest)


def test_mutated_arguments_are_part_of_the_behaviour(box: Sandbox) -> None:
    job = Job(
        Program("def f(xs):\n    xs.append(1)\n    return 5"), (Call("f", ([],)), Call("f", ([2],))), QUICK
    )
    first, second = box.run_one(job).outcomes
    assert first.value is not None
    assert first.value != Value.of(5)
    assert first.value.result == Value.of(5)
    assert second.value is not None
    liar = Program("class Liar: pass\ndef f(xs):\n    xs.append(1)\n    return Liar()")
    opaque = box.run_one(Job(liar, (Call("f", ([],)),), QUICK)).outcomes[0].value
    assert opaque is not None
    assert opaque.result.opaque
    assert second.value.text() == "5, leaving its arguments as ([2, 1])"


def test_each_returned_list_is_encoded_at_once(box: Sandbox) -> None:
    job = Job(
        Program("xs = []\ndef f(n):\n    xs.append(n)\n    return xs"),
        (Call("f", (1,)), Call("f", (2,))),
        QUICK,
    )
    first, second = box.run_one(job).outcomes
    assert first.value == Value.of([1])
    assert second.value == Value.of([1, 2])


@pytest.mark.parametrize(
    "source",
    [
        "class D:\n    def __del__(self):\n        while True: pass\nd = D()\ndef f(): return 1",
        "import atexit\natexit.register(lambda: exec('while True: pass'))\ndef f(): return 1",
        "def g():\n    try: yield 1\n    finally:\n        while True: pass\nheld = g(); next(held)\ndef f(): return 1",
    ],
    ids=["del", "atexit", "generator"],
)
def test_nothing_runs_after_the_answer(box: Sandbox, source: str) -> None:
    started = time.monotonic()
    outcome = attack(box, source, Limits(probe_wall_s=20, job_wall_s=30, cpu_s=30))
    assert outcome.value == Value.of(1)
    assert time.monotonic() - started < 15, "it waited for a finalizer"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f(): return time.time_ns()",
        "import os\ndef f(): return os.getpid()",
        "def f(): return hash('text')",
        "import random\ndef f(): return random.random()",
        "def f(): return list({'a', 'b', 'c', 'd', 'e', 'f', 'g'})",
    ],
    ids=["clock", "pid", "hash", "random", "set-order"],
)
def test_unstable_output_differs_under_another_hash_seed(source: str, tier_1: Sandbox) -> None:
    job = Job(Program(source), (Call("f"), Expression("1 + 1")), QUICK)
    with Sandbox(1, hash_seed=1) as other:
        first, second = tier_1.run_one(job).outcomes, other.run_one(job).outcomes
    assert first[0].value is not None
    assert first[0].value != second[0].value
    assert first[1].value == second[1].value


def test_environment_is_scrubbed(box: Sandbox) -> None:
    os.environ["UCODER_TEST_SECRET"] = "secret"
    try:
        outcome = attack(box, "import os\ndef f(): return sorted(os.environ)")
    finally:
        del os.environ["UCODER_TEST_SECRET"]
    assert outcome.value is not None
    assert "SECRET" not in outcome.value.text(10_000)
    ours = {"HOME", "LC_ALL", "PATH", "PWD", "LC_CTYPE", "LD_BIND_NOW"}
    named = outcome.value.python()
    assert isinstance(named, list)
    assert {n for n in named if not n.startswith("PYTHON") and not n.endswith("_NUM_THREADS")} <= ours


def test_candidates_are_not_root(box: Sandbox) -> None:
    assert attack(box, "import os\ndef f(): return 0 in os.getresuid() + os.getresgid()").value == Value.of(
        False
    )


def test_script_cannot_escape_its_capture(box: Sandbox) -> None:
    job = Job(Program("import os, sys\nprint(input())\nos._exit(0)"), (Script("x"), Script("y")), QUICK)
    assert [o.status for o in box.run_one(job).outcomes] == [Status.NO_RESULT, Status.NO_RESULT]
