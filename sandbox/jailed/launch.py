"""Set up a jail without a zygote and execute its command.

It runs with the supervisor's Python inside the jail, for a whole command (`sandbox.command`) or for the runtime of a
language that needs threads (`sandbox.host.node`). For a command it reports that the jail is ready, on a descriptor that
the command never receives. Without this message nothing ran in the jail; after it every failure is the command's own.
A runtime needs no such message: only the frames of its driver count.
"""

from __future__ import annotations

import os
import resource
import sys

from sandbox.jailed import lockdown

READY = b"ready"


def main(
    uid: int, folder: str, cpu_s: int, memory_bytes: int, file_bytes: int, command: list[str], channel: int
) -> None:
    """Become a command that may start processes and write files.

    `channel` receives `READY`.
    """
    lockdown.drop_privileges(uid)
    os.chdir(folder)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, 1024)
    _become(command, lockdown.command_filter(), channel=channel)


def runtime(uid: int, cpu_s: int, memory_bytes: int, command: list[str]) -> None:
    """Become one process with threads.

    It starts no other process, signals none and writes no file.

    `memory_bytes` limits the writable memory (RLIMIT_DATA), since a runtime reserves far more address space than it
    uses. The limit counts per process, so it holds only because there is no second process.
    """
    lockdown.drop_privileges(uid)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU comes first, and names the reason
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)  # bytes in a pipe or a socket are the kernel's memory
    _become(command, lockdown.command_filter(), lockdown.one_process_filter())


def _limit(what: int, limit: int) -> None:
    resource.setrlimit(what, (limit, limit))


def _become(command: list[str], *filters: bytes, channel: int | None = None) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    for code in filters:
        lockdown.install_filter(lockdown.load_filter(code))
    if channel is not None:
        os.write(channel, READY)
        os.close(channel)
    try:
        os.execvp(command[0], command)  # noqa: S606 - this command is the purpose
    except OSError as error:
        sys.stderr.write("cannot start %s: %s\n" % (command[0], error.strerror))
        os._exit(127)
