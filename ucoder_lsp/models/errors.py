"""The errors that the model store raises."""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot be used; one sentence with the remedy."""


class SourceError(Exception):
    """One source cannot deliver the file; a short clause without a full stop.

    `get` tries the next source, and lists these clauses when none is left.
    """
