"""Give a program what CPython gives to a file that it runs.

The child runs a program inside its own frames. Without this module the program would notice that: by the compiler flags
of the child, a missing `__file__`, the arguments of the zygote, or a recursion that ends some calls earlier.

What is not covered: the file itself. It does not exist, so `open(__file__)` fails, and only `inspect` and `traceback`
find its lines.
"""

from __future__ import annotations

import builtins
import io
import linecache
import os
import re
import sys
import types
from typing import Any

FILENAME = "/candidate.py"
"""The name of the program's file, as `__file__` and in tracebacks."""
MOST_RECURSION = (1 << 31) - 1
_NUMBERED = re.compile(r"/dev/std(in|out|err)|/(?:dev|proc/self)/fd/([0-9]+)")
_STREAMS = {"in": 0, "out": 1, "err": 2}
_get_limit, _set_limit = sys.getrecursionlimit, sys.setrecursionlimit
shown = [""]
"""The text of the program."""
_seen, _hidden = [_get_limit()], [0]


def compiled(source: str, mode: str = "exec", filename: str = FILENAME) -> types.CodeType:
    """Compile the text of a program.

    The `from __future__` imports of this project's modules do not count for it. A byte order mark is skipped, as in a
    file.
    """
    text = source[1:] if source[:1] == "\ufeff" else source
    code: types.CodeType = compile(text, filename, mode, dont_inherit=True)
    return code


def module(name: str) -> types.ModuleType:
    """Make the module of a program, which is also `__main__`."""
    made = types.ModuleType(name)
    made.__file__ = FILENAME
    sys.modules[name] = sys.modules["__main__"] = made
    return made


def set_up(frames: int) -> None:
    """Hide the arguments of this process, and `frames` frames below a program.

    Call it once, in the zygote. The recursion limit that a program sees counts its own frames only.
    """
    sys.argv[:] = [FILENAME]
    sys.orig_argv = [sys.executable, FILENAME]  # newer than Python 3.8, where nothing reads it
    # `inspect.getsource` and tracebacks find the lines of the program. They are split on first use.
    linecache.cache[FILENAME] = (lambda: shown[0],)

    def getrecursionlimit() -> int:
        return _seen[0]

    def setrecursionlimit(limit: int) -> None:
        usual = type(limit) is int and 0 < limit <= MOST_RECURSION
        _set_limit(min(limit + _hidden[0], MOST_RECURSION) if usual else limit)
        _seen[0] = limit

    hide(frames)
    sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit


def hide(frames: int) -> None:
    """Hide further frames below the program."""
    _set_limit(_get_limit() + frames)
    _hidden[0] += frames


def end_threads() -> None:
    """Wait for the threads of a script, as an interpreter does at its end."""
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()


def open_streams_by_path() -> None:
    """Let a script open its streams by path: `/dev/stdin`, `/dev/fd/0`, `/proc/self/fd/0`.

    The jail has no /proc, so these files do not exist. The paths are translated to a copy of the descriptor instead,
    which opens nothing new.
    """
    opened, opened_low = io.open, os.open

    def open(file: Any, *args: Any, **kwargs: Any) -> Any:
        number = _number(file)
        return opened(file if number is None else os.dup(number), *args, **kwargs)

    def open_low(path: Any, *args: Any, **kwargs: Any) -> int:
        number = _number(path)
        return opened_low(path, *args, **kwargs) if number is None else os.dup(number)

    builtins.open = io.open = open
    os.open = open_low


def _number(path: Any) -> "int | None":
    """Return the descriptor that a path names, None for every other file."""
    if isinstance(path, int):
        return None
    text = os.fspath(path)
    found = _NUMBERED.fullmatch(os.fsdecode(text) if isinstance(text, bytes) else text)
    if found is None:
        return None
    return _STREAMS[found.group(1)] if found.group(1) else int(found.group(2))
