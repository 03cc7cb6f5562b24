"""Run a whole command, such as a test suite, in a jail.

The command has no network, and only the named files of the host.

This is weaker than the jail of a candidate on purpose. The command may start processes and threads and write to its own
folder, because test suites do. Its own report is not evidence; compare behaviour instead.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import InterpreterMissing, SandboxUnavailable
from sandbox.host.interpreter import locate
from sandbox.host.jail import JAIL_UID, JAILED, JAILED_INSIDE, base_arguments, parents
from sandbox.jailed.launch import READY
from sandbox.limits import MIB, LimitsError
from sandbox.outcome import Status


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command.

    OK means exit code 0, EXCEPTION any other code.
    """

    status: Status
    returncode: int | None
    """None when it did not exit by itself."""
    stdout: str
    stderr: str
    wall_s: float
    truncated: bool = False
    """Whether it wrote more than was kept."""


def run_command(
    argv: Sequence[str],
    *,
    workdir: Path,
    writable: bool = False,
    env: dict[str, str] | None = None,
    wall_s: float = 60.0,
    cpu_s: int | None = None,
    memory_bytes: int = 4096 * MIB,
    output_bytes: int = 4 * MIB,
    file_bytes: int = 256 * MIB,
    readonly: Sequence[Path] = (),
    interpreter: str | None = None,
) -> CommandResult:
    """Run `argv` in `workdir`, at the same path, and wait for it.

    `writable`: the command writes into `workdir` itself; otherwise into a copy, which is deleted afterwards. `env`: the
    whole environment. `interpreter`: a Python (or virtual environment) that the command may use, read-only at its own
    path and first on PATH as `python`. `readonly`: further paths that it may read. Standard output and error are kept
    up to `output_bytes` each. Where root starts it, the jail's user owns the files that the command writes.

    Raises `SandboxUnavailable` where no jail can be built, `LimitsError`, `InterpreterMissing`.
    """
    for name, value in (("wall_s", wall_s), ("memory_bytes", memory_bytes), ("output_bytes", output_bytes)):
        if not value > 0:
            raise LimitsError(f"{name} must be greater than 0, not {value!r}")
    workdir = workdir.resolve()
    if not workdir.is_dir():
        raise InterpreterMissing(f"the work folder {workdir} does not exist")
    with tempfile.TemporaryDirectory(prefix="ucoder-jail-") as scratch:
        source = workdir
        if not writable:
            source = Path(scratch) / "work"
            shutil.copytree(workdir, source, symlinks=True)
        report, channel = os.pipe()  # the jail writes `READY` into it
        try:
            arguments = _arguments(argv, workdir, source, env or {}, readonly, interpreter,
                                   channel, cpu_s or int(wall_s * 4) + 1, memory_bytes, file_bytes)  # fmt: skip
            return _run(arguments, report, channel, wall_s, output_bytes)
        finally:
            os.close(report)
            os.close(channel)


def _arguments(
    argv: Sequence[str], workdir: Path, source: Path, env: dict[str, str], readonly: Sequence[Path],
    interpreter: str | None, channel: int, cpu_s: int, memory_bytes: int, file_bytes: int,
) -> list[str]:  # fmt: skip
    launcher, offered = locate(), locate(interpreter)  # one sets up the jail, the other is for the command
    environment = _environment(interpreter)
    # A virtual environment links to a name beside the real file, so the whole folder is needed.
    beside = [python.executable.parent for python in (launcher, offered)]
    extra = [path.resolve() for path in readonly]
    mounted = dict.fromkeys([*launcher.readable, *offered.readable, *beside, *environment, *extra])
    outermost = [p for p in mounted if not any(q in mounted for q in p.parents)]
    args = base_arguments(outermost, tmp_bytes=256 * MIB, tmp_mode="1777")
    for name in ("/usr/bin", "/bin"):
        path = Path(name)
        args += ["--symlink", os.readlink(path), name] if path.is_symlink() else ["--ro-bind-try", name, name]
    args += ["--proc", "/proc", "--dev-bind", "/dev/random", "/dev/random"]
    args += [*parents(JAILED_INSIDE), "--ro-bind", str(JAILED), str(JAILED_INSIDE)]
    if os.geteuid() == 0:
        _give_to_jail_user(source)
    args += [*parents(workdir), "--bind", str(source), str(workdir), "--chdir", "/"]
    binaries = [str(p / "bin") for p in environment] + [str(offered.executable.parent), "/usr/bin", "/bin"]
    for key, value in {"PATH": ":".join(binaries), "HOME": "/tmp", "LC_ALL": "C.UTF-8", **env}.items():  # noqa: S108
        args += ["--setenv", key, value]
    uid = JAIL_UID if os.geteuid() == 0 else 0
    start = (
        "import sys; sys.path.insert(0, '/ucoder'); from sandbox.jailed import launch; "
        f"launch.main({uid}, {str(workdir)!r}, {cpu_s}, {memory_bytes}, {file_bytes}, {list(argv)!r}, {channel})"
    )
    return [*args, "--", str(launcher.executable), "-I", "-S", "-B", "-c", start]


def _environment(interpreter: str | None) -> list[Path]:
    """List the virtual environment that `interpreter` is or lies in, if any."""
    path = Path(interpreter or sys.executable).absolute()
    home = path if (path / "pyvenv.cfg").is_file() else path.parent.parent
    return [home] if (home / "pyvenv.cfg").is_file() else []


def _give_to_jail_user(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, JAIL_UID, JAIL_UID, follow_symlinks=False)


def _run(command: list[str], report: int, channel: int, wall_s: float, output_bytes: int) -> CommandResult:
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={},
            start_new_session=True, pass_fds=[channel],
        )  # fmt: skip
    except OSError as error:
        raise SandboxUnavailable(f"bubblewrap cannot be started: {error}") from None
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    truncated = timed_out = False
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = started + wall_s - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(left):
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                buffer = kept[key.fileobj]  # type: ignore[index]
                truncated |= len(buffer) + len(data) > output_bytes
                buffer += data[: max(0, output_bytes - len(buffer))]
    if not timed_out:
        try:
            process.wait(max(0.1, started + wall_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    process.kill()  # every process of the jail dies with bubblewrap
    code = process.wait()
    process.stdout.close()
    process.stderr.close()
    out, err = (bytes(b).decode("utf-8", "replace") for b in kept.values())
    status = _status(code, timed_out)
    if not _was_ready(report):
        complaint = err.strip() or f"it printed nothing in {time.monotonic() - started:.1f} s"
        raise SandboxUnavailable(f"the jail does not start: {complaint}. Run `ucoder sandbox doctor`")
    return CommandResult(status, None if timed_out else code, out, err, time.monotonic() - started, truncated)


def _was_ready(report: int) -> bool:
    """Return True if the jail was built and locked.

    The command's own output is never used for this, because a program can forge it.
    """
    os.set_blocking(report, False)
    try:
        return os.read(report, len(READY)) == READY
    except BlockingIOError:
        return False


def _status(code: int, timed_out: bool) -> Status:
    if timed_out:
        return Status.WALL
    if code > 128:  # bubblewrap reports a signal as a shell does
        return Status.SIGNAL
    return Status.OK if code == 0 else Status.EXCEPTION
