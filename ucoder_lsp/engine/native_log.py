"""The log of llama.cpp, collected for error messages.

It is kept off standard error. llama.cpp reports only in its log why it rejected a file, so the last error lines are
kept for the exception.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llama_cpp as C

_GGML_ERROR = 4  # of `ggml_log_level` in ggml.h; 3 is a warning
_GGML_CONTINUE = 5

_errors: deque[str] = deque(maxlen=8)
_listeners: list[Callable[[str], None]] = []
_continues_error = False


def _receive(level: int, text: bytes, _user: ctypes.c_void_p) -> None:
    global _continues_error  # noqa: PLW0603  one log per process, and lines are split over calls
    line = text.decode("utf-8", "replace").strip()
    for listener in _listeners:
        listener(line)
    is_error = level == _GGML_ERROR or (level == _GGML_CONTINUE and _continues_error)
    _continues_error = is_error
    if is_error and line:
        _errors.append(line)


# Kept for the life of the process: llama.cpp holds a bare pointer to it.
_callback = C.llama_log_callback(_receive)


def install() -> None:
    """Redirect the log of llama.cpp; repeated calls are harmless."""
    C.llama_log_set(_callback, ctypes.c_void_p(0))


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Send every log line to `listener` as well.

    It is called in the thread that llama.cpp logs from.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def take_errors() -> str:
    """Return the error lines since the last call, joined.

    Empty without such lines.
    """
    text = "; ".join(_errors)
    _errors.clear()
    return text
