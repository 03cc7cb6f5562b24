"""First thing in a jail without a zygote: become the dedicated user, set the limits, and turn into the command.

Run with the Python that runs the supervisor, inside the jail, for a whole command (`sandbox.command`) or for the
runtime of a language that needs threads (`sandbox.host.node`). A command's jail tells that it stands, on a descriptor
that the command never gets: without that word nothing ran in it, with it whatever follows is the command's own doing.
A runtime needs no such word: its driver's frames alone are believed.
"""

from __future__ import annotations

import os
import resource
import sys

from sandbox.jailed import lockdown

STANDS = b"stands"


def main(
    uid: int, folder: str, cpu_s: int, memory_bytes: int, file_bytes: int, command: list[str], channel: int
) -> None:
    """Become a command that may start processes and write files; `channel` gets the word that the jail stands."""
    lockdown.drop_privileges(uid)
    os.chdir(folder)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, 1024)
    _become(command, lockdown.command_filter(), channel=channel)


def runtime(uid: int, cpu_s: int, memory_bytes: int, command: list[str]) -> None:
    """Become one process with threads, which starts no other, signals none and writes no file.

    `memory_bytes` is what it may hold and write to (RLIMIT_DATA): a runtime reserves far more address space than
    it uses. The limit is a process's own, so it is worth something only because there is no second one.
    """
    lockdown.drop_privileges(uid)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU comes first, and says what it was
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)  # what lies in a pipe or a socket is the kernel's memory
    _become(command, lockdown.command_filter(), lockdown.one_process_filter())


def _limit(what: int, limit: int) -> None:
    resource.setrlimit(what, (limit, limit))


def _become(command: list[str], *filters: bytes, channel: int | None = None) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    for code in filters:
        lockdown.install_filter(lockdown.load_filter(code))
    if channel is not None:
        os.write(channel, STANDS)
        os.close(channel)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command it was asked to become
    except OSError as error:
        sys.stderr.write("cannot start %s: %s\n" % (command[0], error.strerror))
        os._exit(127)
