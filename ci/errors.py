"""Define the gate's exceptions: one class, with exit code, per failure.

A patch that is refused or fails is a result, not an exception. An exception means that the gate could not
judge at all. Its message is one sentence that gives the remedy.
"""

from __future__ import annotations


class GateError(Exception):
    """Raised when the gate cannot judge. `exit_code` follows the table in docs/gate.md."""

    exit_code = 4


class UsageError(GateError):
    """Raised for an unusable request.

    Examples: a ref that does not exist, tests that fail on base, no tests.
    """

    exit_code = 2


class UnavailableError(GateError):
    """Raised when the sandbox or the host failed: no patch was judged."""

    exit_code = 4
