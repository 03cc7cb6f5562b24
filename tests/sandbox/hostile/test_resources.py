"""Test that programs which exhaust processes, memory, time or output are stopped."""

from __future__ import annotations

import errno
import os

import pytest

from sandbox.jailed.child import MAX_TASKS
from sandbox.limits import MIB, Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program, Script
from sandbox.values import Value
from tests.sandbox.hostile.attack import CTYPES, QUICK, attack, only_x86, syscall, whole

pytestmark = pytest.mark.hostile


PATIENT_THREADS = Limits(probe_wall_s=20, job_wall_s=30, cpu_s=20, memory_bytes=1 << 30)


# Processes and threads


def test_fork_bomb_is_stopped(box: Sandbox) -> None:
    outcome = attack(box, "import os\ndef f():\n    while True: os.fork()")
    assert outcome.status is Status.SECCOMP


@only_x86
@pytest.mark.parametrize("number", [56, 57, 58], ids=["clone", "fork", "vfork"])
def test_raw_clone_is_stopped(box: Sandbox, number: int) -> None:
    assert syscall(box, number, "17", "0", "0", "0", "0").status is Status.SECCOMP


@only_x86
def test_clone3_does_not_exist(box: Sandbox) -> None:
    """Its flags lie in memory, where a filter cannot read them."""
    source = f"{CTYPES}def f():\n    return libc.syscall(435, bytes(88), 88), ctypes.get_errno()"
    assert attack(box, source).value == Value.of((-1, errno.ENOSYS))


@only_x86
@pytest.mark.parametrize(
    "changed",
    [0x00010000, 0x00000100, 0x00000800, 0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x00002000, 17],
    ids=["THREAD", "VM", "SIGHAND", "NEWUSER", "NEWPID", "NEWNS", "NEWNET", "PTRACE", "SIGCHLD"],
)
def test_only_threads_of_the_same_process_can_be_started(box: Sandbox, changed: int) -> None:
    assert syscall(box, 56, hex(0x003D0F00 ^ changed), "0", "0", "0", "0").status is Status.SECCOMP


THREAD_BOMB = """
import threading
threading.stack_size(1 << 15)
def f():
    started, event = 0, threading.Event()
    try:
        while True:
            threading.Thread(target=event.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        return started
"""

RAW_THREAD_BOMB = f"""{CTYPES}
libc.malloc.restype, libc.pthread_attr_setstack.argtypes = ctypes.c_void_p, (ctypes.c_void_p,) * 2 + (ctypes.c_size_t,)
def f():
    attributes, thread = ctypes.create_string_buffer(64), ctypes.c_ulong()
    libc.pthread_attr_init(attributes)
    # Stacks of 16 KiB, the least that glibc accepts: no limit on memory ends this.
    for started in range(100_000):
        libc.pthread_attr_setstack(attributes, libc.malloc(1 << 14), 1 << 14)
        if libc.pthread_create(ctypes.byref(thread), attributes, libc.pause, None):
            return started
"""


@pytest.mark.parametrize("source", [THREAD_BOMB, RAW_THREAD_BOMB], ids=["threading", "raw"])
def test_the_number_of_threads_is_bounded(box: Sandbox, source: str) -> None:
    """Start threads until the kernel refuses, although memory is left."""
    outcome = attack(box, source, Limits(probe_wall_s=20, job_wall_s=30, cpu_s=20, memory_bytes=4 << 30))
    assert outcome.value is not None, outcome
    started = outcome.value.python()
    assert isinstance(started, int)
    assert 100 < started < MAX_TASKS


def test_threads_of_one_program_stop_no_other_program(tier_1: Sandbox) -> None:
    """The bomb holds its threads while other programs start and end."""
    bomb = Job(Program(THREAD_BOMB + "    finally: event.wait(1)\n"), (Call("f"),), PATIENT_THREADS)
    good = Job(Program("def f(x): return x + 1"), (Call("f", (1,)),), QUICK)
    bombed, *fine = tier_1.run([bomb, *[good] * 40])
    assert bombed.outcomes[0].status is Status.OK, bombed
    assert [result.outcomes[0].value for result in fine] == [Value.of(2)] * 40


@pytest.mark.parametrize(
    "work", ["while True: pass", "time.sleep(100)", "threading.Event().wait()", "[x for x in iter(int, 1)]"]
)
def test_a_thread_that_hangs_ends_as_wall(box: Sandbox, work: str) -> None:
    source = (
        f"import threading, time\ndef work():\n    {work}\n"
        "def f():\n    t = threading.Thread(target=work)\n    t.start()\n    t.join()"
    )
    assert attack(box, source).status in {Status.WALL, Status.MEMORY}
    script = source + "\nthreading.Thread(target=work).start()"
    ended = box.run_one(Job(Program(script), (Script(),), QUICK)).outcomes[0]
    assert ended.status in {Status.WALL, Status.MEMORY}


def test_threads_share_the_limit_of_processor_time(box: Sandbox) -> None:
    limits = Limits(probe_wall_s=60, job_wall_s=80, cpu_s=1)
    source = (
        "import threading\ndef work():\n    while True: pass\n"
        "def f():\n    for _ in range(3): threading.Thread(target=work).start()\n    work()"
    )
    assert attack(box, source, limits).status is Status.CPU


def test_unlimited_recursion_in_a_thread_is_survived(box: Sandbox) -> None:
    source = (
        "import sys, threading\nsys.setrecursionlimit(10**9)\nthreading.stack_size(1 << 26)\n"
        "def deep(): return deep() + 1\n"
        "class C:\n    def __repr__(self): return repr([self])\n"
        "def f():\n    t = threading.Thread(target=lambda: (repr(C()), deep()))\n    t.start()\n    t.join()\n"
        "    return 1"
    )
    # Python 3.11 and later keep Python frames off the stack: then the thread ends with MemoryError alone.
    assert attack(box, source).status in {Status.SIGNAL, Status.MEMORY, Status.WALL, Status.OK}


def test_a_first_thread_that_leaves_alone_is_no_answer(box: Sandbox) -> None:
    """The other threads go on while the first one is gone; the process still ends at its limit."""
    source = (
        f"{CTYPES}import threading, time\ndef f():\n    threading.Thread(target=time.sleep, args=(50,)).start()\n"
        "    libc.syscall(60, 0)"
    )
    outcome = attack(box, source) if os.uname().machine == "x86_64" else None
    assert outcome is None or outcome.status is Status.WALL


def test_a_thread_does_not_outlive_its_job(box: Sandbox) -> None:
    source = (
        "import os, threading, time\ndef work():\n    time.sleep(0.1)\n    os.write(3, b'late')\n"
        "def f():\n    threading.Thread(target=work).start()\n    return 1"
    )
    assert [attack(box, source).value for _ in range(5)] == [Value.of(1)] * 5


def test_a_thread_that_is_left_does_not_disturb_the_next_call(box: Sandbox) -> None:
    """The next call has a fresh process: without the thread, and without what it would do."""
    source = (
        "import builtins, threading, time\nseen = []\ndef work():\n    while True:\n        seen.append(1)\n"
        "        print('noise')\n        builtins.sum = lambda xs: -1\n        time.sleep(0.001)\n"
        "def f(n):\n    threading.Thread(target=work).start()\n    time.sleep(0.01)\n    return n\n"
        "def g(n): return sum([n]), threading.active_count(), len(seen)"
    )
    calls = [Call("f" if n % 2 == 0 else "g", (n,)) for n in range(20)]
    result = box.run_one(Job(Program(source), tuple(calls), Limits(probe_wall_s=5, job_wall_s=60, cpu_s=30)))
    wanted = [Value.of(n) if n % 2 == 0 else Value.of((n, 1, 0)) for n in range(20)]
    assert [outcome.value for outcome in result.outcomes] == wanted
    assert {outcome.stdout for outcome in result.outcomes[1::2]} == {""}


def test_a_report_of_threads_without_an_answer_is_a_fault(box: Sandbox) -> None:
    """Such reports would use up any number of processes."""
    source = (
        "import os, struct, sys\nfrom binascii import crc32\n"
        "def f(quiet=False):\n    if quiet: return 1\n    frame = sys._getframe()\n"
        "    while not hasattr(frame.f_locals.get('self'), 'seed'): frame = frame.f_back\n"
        "    child = frame.f_locals['self']\n    body = struct.pack('<cIBdIIII', b'T', 0, 0, 0.0, 0, 0, 0, 0)\n"
        "    child.flush()\n    os.write(3, struct.pack('<II', len(body), crc32(body, child.seed)) + body)\n"
        "    os._exit(0)"
    )
    for calls in (
        (Call("f"), Call("f")),
        (Call("f", (True,)), Call("f"), Call("f")),
        (Call("f", (True,)), Call("f")),
    ):
        result = box.run_one(Job(Program(source), calls, QUICK))
        assert {outcome.status for outcome in result.outcomes} == {Status.PROTOCOL}


# Memory and time


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


# Crashes, floods, early exits and signals


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
    """Try to make another process the owner of a pipe.

    The owner would be a sibling or the zygote. With O_ASYNC the kernel would send it any signal.
    """
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
