"""The gate's exceptions: one class for each kind of failure that ends a run, each with its exit code.

A patch that is refused or fails is not an exception: it is a result. Only what keeps the gate from judging
at all is raised, as one sentence that says how to mend it.
"""

from __future__ import annotations


class GateError(Exception):
    """The gate could not judge. `exit_code` follows the table in docs/gate.md."""

    exit_code = 4


class UsageError(GateError):
    """The request makes no sense: a ref that does not exist, tests that fail on base, no tests at all."""

    exit_code = 2


class UnavailableError(GateError):
    """The sandbox or the host failed: nothing was learnt about any patch."""

    exit_code = 4
