"""Records to JSON and back, for every file of a run.

A record is written as it is, and read only where the data fits its type. The records themselves lie with the modules
that make them.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

T = TypeVar("T")

_CONVERTER = cattrs.Converter(detailed_validation=False)


def to_plain(record: Any) -> Any:
    """Convert dataclasses, at any depth, to plain JSON data."""
    return _CONVERTER.unstructure(record)


def from_plain(plain: Any, kind: type[T]) -> T:
    """Read plain JSON data as a record of type `kind`.

    Other keys than its fields are ignored.

    Raises:
        KeyError: a field is missing.
        TypeError, ValueError: the data is something else.
    """
    try:
        return _CONVERTER.structure(plain, kind)
    except (AttributeError, TypeError) as error:  # cattrs takes a mapping for granted
        raise TypeError("it is JSON of something else") from error


def rename(kind: type, **names: str) -> None:
    """Write fields of a record type under other names: `rename(kind, field="key")`."""
    overrides: Any = {field: override(rename=key) for field, key in names.items()}
    _CONVERTER.register_unstructure_hook(kind, make_dict_unstructure_fn(kind, _CONVERTER, **overrides))
    _CONVERTER.register_structure_hook(kind, make_dict_structure_fn(kind, _CONVERTER, **overrides))


def _accept_only(kind: type, *others: type) -> None:
    """Refuse what cattrs would convert to `kind`.

    "3" is not an integer, and 3 is not a text.
    """

    def read(value: Any, wanted: Any) -> Any:
        if type(value) not in (kind, *others):
            raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")
        return value if wanted is kind else wanted(value)  # an enumeration of such values

    _CONVERTER.register_structure_hook(kind, read)


_accept_only(str)
_accept_only(int)
_accept_only(bool)
_accept_only(float, int)
