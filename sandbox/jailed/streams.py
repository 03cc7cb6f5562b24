"""Standard input, output and error of a candidate, bounded in memory."""

from __future__ import annotations

import io
from _thread import stack_size, start_new_thread
from fcntl import F_SETFL, fcntl  # `os.set_blocking` uses ioctl, which the jail refuses
from os import O_NONBLOCK, close, dup2, pipe2, read, write
from typing import Any

PIPE, PAGE = 1 << 16, 1 << 12
"""The capacity of a pipe in bytes, and the unit in which it is filled."""
SMALL_STACK = 1 << 16
"""Bytes of stack of the thread that feeds a pipe."""


class OutputLimit(BaseException):
    """Raised when a program prints more than its job allows."""


class Captured:
    """Keeps bounded standard output in memory.

    `overflowed` stays set where the program swallows the exception.

    Plain Python instead of `io`, whose first use in a fresh fork touches 60 pages, a fifth of all.
    """

    encoding, errors, newlines, name, mode = "utf-8", "surrogatepass", None, "<stdout>", "w"
    closed = line_buffering = False

    def __init__(self, limit: int) -> None:
        self.parts: "list[bytes]" = []
        self.room = limit
        self.overflowed = False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        self.take(str.encode(text, "utf-8", "surrogatepass"))
        return len(text)

    def take(self, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            self.overflowed = True
            raise OutputLimit
        if data:
            self.parts.append(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> "CapturedBytes":
        return CapturedBytes(self)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def reconfigure(self, **_: object) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


class CapturedBytes:
    """The binary layer below `Captured`: `sys.stdout.buffer`."""

    closed, mode, name = False, "wb", "<stdout>"

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        # Methods that a text layer made by the program needs.
        self.readable, self.writable, self.seekable = captured.readable, captured.writable, captured.seekable
        self.isatty, self.fileno, self.close = captured.isatty, captured.fileno, captured.close

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self.captured.take(taken)
        return len(taken)

    def flush(self) -> None:
        pass


class Discarded(Captured):
    """Drops standard error, so that no amount of it costs anything."""

    name = "<stderr>"

    def take(self, data: bytes) -> None:
        pass

    def fileno(self) -> int:
        return 2


class Printed(Captured):
    """The standard output of a script, also as descriptor 1.

    The descriptor accepts as much as a pipe holds.

    Bytes written to the descriptor come first, as in an ordinary process, where `print` is buffered until the end.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self.reader, self.writer = pipe2(O_NONBLOCK)
        dup2(self.writer, 1)

    def fileno(self) -> int:
        return 1

    def collect(self) -> None:
        """Read the bytes written to the descriptor.

        Overflow where no further page fits into the pipe.
        """
        try:
            write(self.writer, bytes(PAGE))
        except BlockingIOError:
            self.overflowed = True
            raise OutputLimit from None
        written = read(self.reader, PIPE)[:-PAGE]
        later, self.parts = self.parts, []
        self.take(written)
        self.parts += later


class Given(io.BytesIO):
    """The standard input of a script, also as descriptor 0.

    What a pipe does not hold is written to it by a thread, while the script reads. Without memory for a thread, reading
    the descriptor fails: with half of its input the program would give wrong answers.
    """

    name = "<stdin>"

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        reader, writer = pipe2(0)
        fcntl(writer, F_SETFL, O_NONBLOCK)
        rest = data[write(writer, data) :]
        fcntl(writer, F_SETFL, 0)
        dup2(reader if not rest or _feed(writer, rest) else writer, 0)
        close(reader)
        if not rest:
            close(writer)

    def fileno(self) -> int:
        return 0


def _feed(writer: int, data: bytes) -> bool:
    """Start to write the data into a pipe; returns whether the memory for a thread was there."""
    usual = stack_size(SMALL_STACK)
    try:
        start_new_thread(_write_all, (writer, data))
    except RuntimeError:
        return False
    finally:
        stack_size(usual)
    return True


def _write_all(writer: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[write(writer, rest) :]
    except BrokenPipeError:
        return  # the script has closed its input
    finally:
        close(writer)
