"""Read the content of instances of the standard library's value types.

Only exact types count, never a subclass. The content is plain data that is equal for equal values. Enum members count
only where the state of instances is written (`sandbox.jailed.canonical`), because their classes are the program's own.
"""

from __future__ import annotations

import sys
from typing import Any


def content_of(v: Any, kind: type, describe: bool) -> "tuple[str, object] | None":
    """Return the type's name and the content of `v`, or None for an instance of any other type."""
    if describe:
        enum = sys.modules.get("enum")
        if enum is not None and issubclass(kind, enum.Enum):
            members = object.__getattribute__(v, "__dict__")
            return type.__dict__["__name__"].__get__(kind), [members.get("_name_"), members.get("_value_")]
    for module, types in _READERS.items():
        loaded = sys.modules.get(module)
        for name, read in types.items() if loaded is not None else ():
            if kind is getattr(loaded, name, None):
                return name, read(v)
    return None


def _decimal(v: Any) -> object:
    """Drop trailing zeros: `Decimal("1.0") == Decimal("1.00")`."""
    sign, digits, exponent = v.as_tuple()
    if isinstance(exponent, str):
        return str(v)
    digits = list(digits)
    while len(digits) > 1 and digits[-1] == 0:
        digits.pop()
        exponent += 1
    return [0, "0", 0] if digits == [0] else [sign, "".join(map(str, digits)), exponent]


_READERS: "dict[str, dict[str, Any]]" = {
    "datetime": dict.fromkeys(("date", "datetime", "time", "timedelta", "timezone"), repr),
    "decimal": {"Decimal": _decimal},
    "fractions": {"Fraction": lambda v: [v.numerator, v.denominator]},
    "uuid": {"UUID": str},
    "pathlib": dict.fromkeys(("PosixPath", "PurePosixPath", "PureWindowsPath"), str),
    "collections": {"deque": lambda v: [[*v], v.maxlen], "defaultdict": dict},
    "io": dict.fromkeys(("StringIO", "BytesIO"), lambda v: None if v.closed else [v.getvalue(), v.tell()]),
}  # fmt: skip
"""What reads the content, by module and type. A module that is not loaded has no instances."""
