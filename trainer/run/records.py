"""Records to JSON and back, for every file of a run: written as they are, read only where they fit their type.

It does not hold the records themselves: each lies with the module that makes it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cattrs

T = TypeVar("T")

_CONVERTER = cattrs.Converter(detailed_validation=False)


def to_plain(record: Any) -> Any:
    """Convert dataclasses, at any depth, to plain JSON data."""
    return _CONVERTER.unstructure(record)


def from_plain(plain: Any, kind: type[T]) -> T:
    """Read plain JSON data as a record of type `kind`; other keys than its fields are ignored.

    Raises:
        KeyError: a field is missing.
        TypeError, ValueError: the data is something else.
    """
    return _CONVERTER.structure(plain, kind)


def _accept_only(kind: type, *others: type) -> None:
    """Refuse what cattrs would convert to `kind`: "3" is not an integer, and 3 is not a text."""

    def read(value: Any, _: Any) -> Any:
        if type(value) not in (kind, *others):
            raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")
        return value

    # By predicate: a hook for `str` itself would take every enumeration of texts too.
    _CONVERTER.register_structure_hook_func(lambda wanted: wanted is kind, read)


_accept_only(str)
_accept_only(int)
_accept_only(bool)
_accept_only(float, int)
