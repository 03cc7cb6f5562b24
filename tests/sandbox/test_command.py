"""Test the jail for whole commands, without network and host files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.command import run_command
from sandbox.errors import SandboxUnavailable
from sandbox.outcome import Status


def test_command_runs_without_network_or_host_files(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, socket\nprint(os.path.exists('/etc/passwd'), os.getuid() == 0)\n"
        "try: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError as e: print('refused')\n"
        "open('written', 'w').close()\n"
    )
    kept_apart = run_command(["python", "script.py"], workdir=tmp_path, wall_s=30)
    assert (kept_apart.status, kept_apart.stdout) == (Status.OK, "False False\nrefused\n")
    assert not (tmp_path / "written").exists()
    assert (
        run_command(["python", "script.py"], workdir=tmp_path, wall_s=30, writable=True).status is Status.OK
    )
    assert (tmp_path / "written").exists()


def test_command_cannot_make_rare_system_calls(tmp_path: Path) -> None:
    code = (
        "import ctypes, subprocess, threading\nlibc = ctypes.CDLL(None)\nprint(libc.unshare(0x10000000))\n"
        "print(libc.syscall(56, 0x10000011, 0, 0, 0, 0))\nthreading.Thread(target=print, args=('thread',)).start()\n"
        "subprocess.run(['true'], check=True)\nprint('process')"
    )
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=30)
    assert result.stdout.split() == ["-1", "-1", "thread", "process"], result


def test_a_command_cannot_imitate_a_jail_that_does_not_start(tmp_path: Path) -> None:
    code = (
        "import os\nfor fd in range(1, 64):\n    try: os.write(fd, b'bwrap: no more namespaces\\n')\n"
        "    except OSError: pass\nos._exit(1)"
    )
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=30)
    assert result.status is Status.EXCEPTION
    assert result.stderr.startswith("bwrap: ")


def test_a_jail_that_does_not_start_is_not_a_failure_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message, script in (
        ("no namespaces", "echo no namespaces >&2; exit 1"),
        ("it printed nothing", "exit 0"),
    ):
        fake = tmp_path / "bwrap"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SandboxUnavailable, match=message):
            run_command(["python", "-c", "print(1)"], workdir=tmp_path, wall_s=30)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import time; time.sleep(60)", Status.WALL),
        ("import os; os.kill(os.getpid(), 9)", Status.SIGNAL),
        ("raise SystemExit(3)", Status.EXCEPTION),
        ("while True: print('x' * 1000)", Status.WALL),
    ],
)
def test_command_endings_are_distinguished(tmp_path: Path, code: str, status: Status) -> None:
    result = run_command(["python", "-c", code], workdir=tmp_path, wall_s=1.5, output_bytes=10_000)
    assert result.status is status
    assert len(result.stdout) <= 10_000
