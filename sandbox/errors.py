"""The errors that the sandbox raises before any program runs."""

from __future__ import annotations

from sandbox.limits import LimitsError

__all__ = [
    "ArgumentError", "InterpreterMissing", "LimitsError", "ProgramError", "SandboxError",
    "SandboxUnavailable",
]  # fmt: skip


class SandboxError(Exception):
    """The base of the errors below.

    `LimitsError`, listed with them, is only a `ValueError`.
    """


class SandboxUnavailable(SandboxError):
    """Raised where this host cannot isolate a program.

    The message names the remedy. Nothing runs.
    """


class InterpreterMissing(SandboxError):
    """Raised when the requested interpreter does not exist or cannot be used."""


class ProgramError(SandboxError, ValueError):
    """Raised for a program that does not compile, or an unknown language."""


class ArgumentError(SandboxError, ValueError):
    """Raised for a probe with anything but plain data of builtin types."""
