"""First thing in a command's jail: become the dedicated user, set the limits, and turn into the command.

Run with the Python that runs the supervisor, inside the jail. It tells `sandbox.command` that the jail stands, on a
descriptor that the command never gets: without that word nothing ran in it, with it whatever follows is the command's
own doing. `sandbox.javascript` has no use for the word: it believes its driver's frames alone.
"""

from __future__ import annotations

import os
import resource
import sys

from sandbox.jailed import lockdown

STANDS = b"stands"


def main(
    uid: int,
    folder: str,
    cpu_s: int,
    memory_bytes: int,
    file_bytes: int,
    command: list[str],
    channel: int | None = None,
) -> None:
    lockdown.drop_privileges(uid)
    os.chdir(folder)
    for what, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
    ):
        resource.setrlimit(what, (limit, limit))
    lockdown.install_filter(lockdown.load_filter(lockdown.command_filter()))
    if channel is not None:
        os.write(channel, STANDS)
        os.close(channel)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command it was asked to become
    except OSError as error:
        sys.stderr.write("cannot start %s: %s\n" % (command[0], error.strerror))
        os._exit(127)
