"""Every way the public API of the sandbox refuses, before anything of a program runs."""

from __future__ import annotations

from sandbox.limits import LimitsError

__all__ = [
    "ArgumentError", "InterpreterMissing", "LimitsError", "ProgramError", "SandboxError",
    "SandboxUnavailable",
]  # fmt: skip


class SandboxError(Exception):
    """Base of the errors below (`LimitsError` is a `ValueError` as well as one of the family)."""


class SandboxUnavailable(SandboxError):
    """This host cannot isolate a program well enough, so nothing runs. The message says what to install."""


class InterpreterMissing(SandboxError):
    """The interpreter that was asked for is not there or cannot be used."""


class ProgramError(SandboxError, ValueError):
    """A program that cannot be run at all: it does not compile, or its language is not known here."""


class ArgumentError(SandboxError, ValueError):
    """A probe that carries something other than plain data of exact builtin types."""
