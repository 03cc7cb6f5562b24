"""The one kind of error that the model store raises."""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot be used; one sentence with the remedy."""
