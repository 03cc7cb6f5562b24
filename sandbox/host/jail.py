"""Build the command line of a jail and start its zygote.

There is one bubblewrap per zygote: its own namespaces, no capabilities, no network, no /proc or /sys, a
read-only interpreter, and no other file of the host. Started by root, the jail needs no user namespace, and the zygote
becomes the dedicated user before it does anything else. Started by another user, that user is mapped to the dedicated
one in a user namespace which allows no further ones.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxUnavailable
from sandbox.host.interpreter import SYSTEM_LIBRARIES, Interpreter

JAIL_UID = 64_999
"""The dedicated user: no account of a usual system has this number, so it owns no file."""

ZYGOTE_UIDS = range(64_500, 64_999)
"""Users of the zygotes that root starts, one drawn for each: the kernel counts threads by user."""

JAILED = Path(__file__).parents[1] / "jailed"
JAILED_INSIDE = Path("/ucoder/sandbox/jailed")
"""The folder of the code that runs in a jail: on the host, and inside the jail."""
WARM = (
    "math", "re", "collections", "collections.abc", "itertools", "functools", "operator", "heapq", "bisect",
    "string", "typing", "copy", "random", "json", "datetime", "dataclasses", "enum", "abc",
)  # fmt: skip
"""Modules that candidates usually import, imported once in each zygote."""

WARM_OUT_OF_REACH = (
    "asyncio", "decimal", "fractions", "statistics", "threading", "queue", "concurrent.futures.thread", "pathlib",
    "pickle",
)  # fmt: skip
"""Imported early as well where root starts tier 2: the dedicated user may be unable to read root's interpreter."""

NO_BUBBLEWRAP = (
    "bubblewrap is not installed, and without it no candidate can be run safely: install the package "
    "`bubblewrap` (Debian, Ubuntu: `sudo apt install bubblewrap`), then check with `ucoder sandbox doctor`"
)


@dataclass(frozen=True, slots=True)
class JailConfig:
    """The settings of one jail."""

    interpreter: Interpreter
    tier: int = 1
    hash_seed: int = 0
    warm: tuple[str, ...] = WARM
    readable: tuple[Path, ...] = ()
    """Further files and folders of the host that candidates may read, for example the user's workspace."""
    path: tuple[Path, ...] = ()
    """Folders put on the candidates' `sys.path`, before the interpreter's site-packages."""


def bubblewrap() -> str:
    """Find bubblewrap; raises `SandboxUnavailable` where it is not installed."""
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(NO_BUBBLEWRAP)
    return found


def base_arguments(readable: Sequence[Path], tmp_bytes: int = 1 << 20, tmp_mode: str = "0755") -> list[str]:
    """Build the arguments of bubblewrap that every jail has.

    They set namespaces, an empty root, a private /tmp and read-only libraries.
    """
    args = [
        bubblewrap(), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--clearenv", "--hostname", "jail",
        "--cap-drop", "ALL",
    ]  # fmt: skip
    if os.geteuid() == 0:
        args += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        args += ["--unshare-user", "--disable-userns", "--uid", str(JAIL_UID), "--gid", str(JAIL_UID)]
    for name in SYSTEM_LIBRARIES:
        library = Path(name)
        if library.is_symlink():
            args += [*parents(library), "--symlink", os.readlink(library), name]
        elif library.is_dir():
            args += [*parents(library), "--ro-bind", name, name]
    # Before the readable paths: a virtual environment below the host's /tmp must not be hidden by the jail's.
    args += ["--perms", tmp_mode, "--size", str(tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108 - the jail's own
    args += ["--perms", "0755", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for path in readable:
        if not path.is_relative_to("/usr/lib") and not path.is_relative_to("/usr/local/lib"):
            args += [*parents(path), "--ro-bind", str(path), str(path)]
    args += ["--perms", "0755", "--dir", "/dev"]
    for device in ("null", "zero", "urandom"):
        args += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return args


def parents(path: Path) -> list[str]:
    """Build the arguments that make the folders above `path`.

    Without these arguments, bubblewrap makes the folders inaccessible to other users.
    """
    above = [p for p in reversed(path.parents) if p != Path("/")]
    return [word for p in above for word in ("--perms", "0755", "--dir", str(p))]


def start_zygote(config: JailConfig) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a zygote.

    Returns the process (bubblewrap in tier 1) and the supervisor's end of its channel.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The kernel adds the zygote's process number to its first message.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    python, home = config.interpreter, JAILED_INSIDE if config.tier == 1 else JAILED
    mounted = [*python.readable, *config.readable]
    readable = [*SYSTEM_LIBRARIES, "/dev/null", "/dev/zero", "/dev/urandom", *map(str, mounted)]
    path = [str(p) for p in (*config.path, *python.site_packages)]
    uid = secrets.choice(ZYGOTE_UIDS) if os.geteuid() == 0 else 0
    warm = [*config.warm, *(WARM_OUT_OF_REACH if config.tier == 2 and uid else ())]
    root = str(home.parent.parent)
    start = (
        f"import sys; sys.path.insert(0, {root!r}); from sandbox.jailed import footprint; "
        f"footprint.make_room(); from sandbox.jailed import zygote; "
        f"zygote.main({theirs.fileno()}, {uid}, {readable!r}, {root!r}, {path!r}, {warm!r})"
    )
    command = [str(python.executable), "-s", "-S", "-B", "-c", start]
    environment = {
        "PYTHONHASHSEED": str(config.hash_seed), "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "HOME": "/",
        "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/nowhere", "LD_BIND_NOW": "1",
        # Numerical libraries start one thread per CPU on import, each with a stack of its own.
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    if config.tier == 1:
        command = _jailed(mounted, home, environment, command)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()], env=environment, close_fds=True, start_new_session=True, cwd="/",
        )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def _jailed(
    mounted: Sequence[Path], home: Path, environment: dict[str, str], command: list[str]
) -> list[str]:
    args = base_arguments(mounted)
    args += [*parents(home), "--ro-bind", str(JAILED), str(home)]
    for name, value in environment.items():
        args += ["--setenv", name, value]
    return [*args, "--as-pid-1", "--remount-ro", "/", "--chdir", "/", "--", *command]
