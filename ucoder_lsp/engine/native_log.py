"""llama.cpp's log: silenced on stderr, where a language server's client would read it, and kept for messages.

llama.cpp reports why it refused a file only through its log, so the last error lines are held for the
exception.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llama_cpp as C

_GGML_ERROR = 3
_GGML_CONTINUE = 5

_errors: deque[str] = deque(maxlen=8)
_listeners: list[Callable[[str], None]] = []
_continues_error = False


def _receive(level: int, text: bytes, _user: ctypes.c_void_p) -> None:
    global _continues_error  # noqa: PLW0603  llama.cpp has one log for the process, and splits lines over calls
    line = text.decode("utf-8", "replace").strip()
    for listener in _listeners:
        listener(line)
    is_error = level == _GGML_ERROR or (level == _GGML_CONTINUE and _continues_error)
    _continues_error = is_error
    if is_error and line:
        _errors.append(line)


# Kept for the life of the process: llama.cpp holds the bare pointer.
_callback = C.llama_log_callback(_receive)


def install() -> None:
    """Take over llama.cpp's log; again and again is harmless."""
    C.llama_log_set(_callback, ctypes.c_void_p(0))


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Hand every log line to `listener` as well, from whatever thread llama.cpp logs in."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def take_errors() -> str:
    """The error lines since the last call, joined; empty when there were none."""
    text = "; ".join(_errors)
    _errors.clear()
    return text
