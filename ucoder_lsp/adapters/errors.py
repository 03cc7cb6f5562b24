"""The error that adapters raise, and the advice in its messages."""

from __future__ import annotations

WAY_OUT = "serve another with `ucoder adapters use`, or go back with `ucoder adapters rollback`."
"""The end of a message about an adapter that cannot be served."""


class AdapterError(Exception):
    """An adapter cannot be published, found or trusted.

    The message is one sentence with the remedy.
    """
