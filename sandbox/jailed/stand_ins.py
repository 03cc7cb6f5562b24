"""Values that stand for others in canonical bytes: an iterator's items, the state of an instance.

What is not covered: an iterator that is a class of the program. Each of its steps may have any effect, so it is opaque.
Reading an iterator uses it up, as a loop over it does.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from itertools import groupby
from typing import Any

MAX_GENERATED = 1000
"""The items taken from a generator or another builtin iterator before it counts as endless."""

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8
"""Flags of a type. A class made by a program is on the heap and can be changed."""


class Mutated:
    """The result of a call together with the arguments it changed."""

    __slots__ = ("args", "kwargs", "result")

    def __init__(self, result: object, args: object, kwargs: object) -> None:
        self.result, self.args, self.kwargs = result, args, kwargs

    def __repr__(self) -> str:
        changed = [repr(a) for a in self.args] if isinstance(self.args, (list, tuple)) else [repr(self.args)]
        if isinstance(self.kwargs, dict):
            changed += ["%s=%r" % item for item in self.kwargs.items()]
        return "%r, leaving its arguments as (%s)" % (self.result, ", ".join(changed))


class Frozen:
    """Bytes that `encode` wrote earlier, inserted unchanged.

    They hold the value as it was at that moment.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Generated:
    """The items of an iterator, and whether there were more."""

    __slots__ = ("items", "more")

    def __init__(self, items: list[object], more: bool) -> None:
        self.items, self.more = items, more

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.items))
        return "<yields %s%s>" % (inner, ", ..." if self.more else "")


class Unordered(list):  # type: ignore[type-arg]
    """The members of a set that need not be hashable."""


class Described:
    """The state of an instance: type name and attributes.

    Its content as an instance of `dict`, `int` or another builtin type is under the key None, which cannot be an
    attribute.
    """

    __slots__ = ("attributes", "name")

    def __init__(self, name: str, attributes: "dict[str | None, object]") -> None:
        self.name, self.attributes = name, attributes

    def __repr__(self) -> str:
        shown = ["%r" % (v,) if k is None else "%s=%r" % (k, v) for k, v in self.attributes.items()]
        return "<%s %s>" % (self.name, ", ".join(shown))


def is_iterator(kind: type) -> bool:
    """Whether a type is an iterator of the interpreter or of an extension module, such as numpy.

    Such iterators only yield what they were made from. A class of a program may do anything in `__next__`, and a file
    is more than the lines that are left in it.
    """
    own = kind.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) == _HEAP_TYPE
    return not own and hasattr(kind, "__next__") and not hasattr(kind, "readline")


def take(iterator: Any) -> Generated:
    items: list[object] = []
    if type(iterator) is groupby:  # the next step of it empties the group before
        iterator = ((key, take(group)) for key, group in iterator)
    for item in iterator:
        if len(items) == MAX_GENERATED:
            return Generated(items, True)
        items.append(item)
    return Generated(items, False)


def _match(v: "re.Match[Any]") -> Described:
    return Described("re.Match", {"span": v.span(), "group": v.group(), "groups": v.groups()})


READ_AS: "dict[type, Any]" = {
    type({}.keys()): set,
    type(OrderedDict().keys()): set,
    type({}.items()): lambda v: Unordered([*v]),
    type(OrderedDict().items()): lambda v: Unordered([*v]),
    type({}.values()): lambda v: Generated([*v], False),
    type(OrderedDict().values()): lambda v: Generated([*v], False),
    re.Match: _match,
    re.Pattern: lambda v: Described("re.Pattern", {"pattern": v.pattern, "flags": v.flags}),
}
"""Further types, and the value that stands for one.

The keys and the items of a dict equal a set in Python. The values equal nothing there; they count as what they yield.
"""
