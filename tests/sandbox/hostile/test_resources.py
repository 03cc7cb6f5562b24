"""Test that programs which exhaust processes, memory, time or output are stopped."""

from __future__ import annotations

import pytest

from sandbox.limits import MIB, Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.values import Value
from tests.sandbox.hostile.attack import CTYPES, STOPPED, attack, only_x86, syscall, whole

pytestmark = pytest.mark.hostile


# Processes and threads


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
