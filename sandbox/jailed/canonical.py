"""Write Python data as canonical bytes: type-tagged, length-prefixed, one spelling per value.

The child writes these bytes, `sandbox.decode` reads them outside the jail as untrusted input, and expected answers are
written outside with the same code. Two values are equal exactly when their bytes are.

* Exact builtin types, and value types of the standard library (`sandbox.jailed.known`). An instance of a subclass, or
  of any other class, is *opaque*: only the name of its type is written. It equals nothing, and neither does a container
  that holds it.
* Floats (also the parts of a complex) are rounded to 9 significant digits and count as zero below 1e-12 in
  magnitude. -0.0 is 0.0, and all NaNs are the same value.
* Sets and dicts are written in the order of their encoded members, independent of insertion and hash order.
* A container that holds itself is written once. Within it, only the distance upwards is written.
* numpy scalars count as the Python number they hold. An array keeps its dtype, shape and elements.
* Iterators that the interpreter or an extension made count as the items they yield; those of a class are opaque.
* The keys and items of a dict count as sets, its values as an iterator, and a match of `re` as its groups and span.

What is not covered: exact floats (arguments travel in another encoding), and honesty. Bytes that a hostile child wrote
need not be what its program returned. Reading them is bounded and yields only data; nothing more is promised.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections import OrderedDict
from itertools import count
from types import MemberDescriptorType
from typing import Any

from sandbox.jailed.known import content_of
from sandbox.jailed.stand_ins import (
    READ_AS,
    Described,
    Frozen,
    Generated,
    Mutated,
    Unordered,
    is_iterator,
    take,
)

MAX_DEPTH = 100
"""Deepest nesting that is written or read. Deeper values are opaque, and never exhaust the C stack."""

TINY = 1e-12


class TooLarge(Exception):
    """Raised when the encoding needs more bytes than allowed."""


def encode(value: object, limit: int = 1 << 26, describe: bool = False) -> bytes:
    """Write `value` as canonical bytes.

    With `describe`, instances of Python classes are written with their whole state instead of as opaque, to show what a
    call sequence leaves behind. Instances with hidden state stay opaque.

    Raises `TooLarge` as soon as more than `limit` bytes are needed.
    """
    data = _quick(value)
    if data is None:
        writer = _Writer(limit, describe)
        writer.write(value)
        data = b"".join(writer.parts)
    if len(data) > limit:
        raise TooLarge
    return data


def _quick(value: Any) -> "bytes | None":
    """Write the commonest small values without a writer.

    Returns the same bytes, or None for any other value.
    """
    kind = type(value)
    if kind is int:
        return b"i%x;" % value
    if value is None or kind is bool:
        return b"N" if value is None else b"T" if value else b"F"
    if kind is str:
        text: bytes = value.encode("utf-8", "surrogatepass")
        return b"s%d:%b" % (len(text), text)
    if (kind is list or kind is tuple) and len(value) < _FORMS and {*map(type, value)} <= _JUST_INT:
        return _FORM[kind][len(value)] % (*value,)
    return None


_JUST_INT = {int}
_FORMS = 33
_FORM = {
    kind: [tag % n + b"i%x;" * n for n in range(_FORMS)] for kind, tag in ((list, b"l%d:"), (tuple, b"t%d:"))
}
"""The formats of lists and tuples of a few integers, by length."""


def float_text(x: float) -> bytes:
    """Write a float within the stated tolerance."""
    if x != x:
        return b"nan"
    if -TINY < x < TINY:
        return b"0"
    return b"%.8e" % x if x not in (float("inf"), float("-inf")) else (b"inf" if x > 0 else b"-inf")


class _Writer:
    """Writes one value, of any kind.

    `parts` collects the bytes; `room` is the rest of the limit in bytes.
    """

    def __init__(self, limit: int, describe: bool) -> None:
        self.parts: list[bytes] = []
        self.room = limit
        self.describe = describe
        self.path: list[int] = []

    def write(self, v: Any) -> None:
        kind = type(v)
        if kind is int:
            data = b"i%x;" % v
        elif kind is str:
            text = v.encode("utf-8", "surrogatepass")
            data = b"s%d:%b" % (len(text), text)
        elif kind is float:
            data = b"f%b;" % float_text(v)
        elif v is None:
            data = b"N"
        elif kind is bool:
            data = b"T" if v else b"F"
        else:
            self._write_rest(v, kind)
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise TooLarge
        self.parts.append(data)

    def _write_rest(self, v: Any, kind: type) -> None:
        if kind in _CONTAINERS:
            self._container(v, kind)
        elif kind is bytes or kind is bytearray:
            self._put(b"%b%d:%b" % (b"b" if kind is bytes else b"B", len(v), bytes(v)))
        elif kind is complex:
            self._put(b"c%b,%b;" % (float_text(v.real), float_text(v.imag)))
        elif kind is range:
            self._put(b"r%x,%x,%x;" % (v.start, v.stop, v.step))
        elif kind is Frozen:
            self._put(v.data)
        elif v is Ellipsis:
            self._put(b"E")
        elif kind is count and self.describe:
            self.write(
                Described("itertools.count", {"shown": repr(v)})
            )  # the object goes on to count with it
        elif is_iterator(kind):
            self._container(take(v), Generated, id(v))
        elif kind in READ_AS:
            made = READ_AS[kind](v)
            self._container(made, type(made), id(v))
        else:
            self._write_foreign(v, kind)

    def _write_foreign(self, v: Any, kind: type) -> None:
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if kind is numpy.ndarray and v.dtype.kind in "biufcSU":
                self._put(b"a")
                self.write(str(v.dtype))
                self.write(tuple(v.shape))
                self.write(v.ravel().tolist())
                return
            if isinstance(v, numpy.generic) and kind.__module__ == "numpy" and v.dtype.kind in "biufcSU":
                self.write(v.item())
                return
        known = content_of(v, kind, self.describe)
        if known is not None:
            self._container(Described(known[0], {None: known[1]}), Described)
            return
        if self.describe and type(kind) in _ORDINARY:
            self._container(v, Described)
            return
        self._opaque(kind)

    def _opaque(self, kind: type) -> None:
        name = type.__dict__["__name__"].__get__(kind)  # a metaclass may define another
        text = str(name)[:80].encode("utf-8", "replace")
        self._put(b"o%d:%b" % (len(text), text))

    def _container(self, v: Any, kind: type, of: "int | None" = None) -> None:
        """Write a container; `of` is the identity of the object that it stands for."""
        ident = id(v) if of is None else of
        if ident in self.path:
            self._put(b"y%d;" % (len(self.path) - self.path.index(ident)))
            return
        if len(self.path) >= MAX_DEPTH:
            self._opaque(kind)
            return
        self.path.append(ident)
        _CONTAINERS[kind](self, v)
        self.path.pop()

    def _apart(self, *values: object) -> bytes:
        """Write values to separate bytes, which are then sorted."""
        outer, self.parts = self.parts, []
        for value in values:
            self.write(value)
        data, self.parts = b"".join(self.parts), outer
        return data

    def _list(self, v: list[object]) -> None:
        self._put(b"l%d:" % len(v))
        for item in v:
            self.write(item)

    def _tuple(self, v: tuple[object, ...]) -> None:
        self._put(b"t%d:" % len(v))
        for item in v:
            self.write(item)

    def _set(self, v: set[object]) -> None:
        self._put(b"S%d:" % len(v))
        self.parts.extend(sorted([self._apart(item) for item in v]))

    def _frozenset(self, v: frozenset[object]) -> None:
        self._put(b"Z%d:" % len(v))
        self.parts.extend(sorted([self._apart(item) for item in v]))

    def _dict(self, v: dict[object, object]) -> None:
        self._put(b"d%d:" % len(v))
        # Sorted by the key's encoding, and by the value's where rounding made two keys alike.
        for key, item in sorted((self._apart(k), self._apart(i)) for k, i in v.items()):
            self.parts.append(key)
            self.parts.append(item)

    def _mutated(self, v: Mutated) -> None:
        self._put(b"M")
        self.write(v.result)
        self.write(v.args)
        self.write(v.kwargs)

    def _generated(self, v: Generated) -> None:
        self._put(b"G" if v.more else b"g")
        self.write(v.items)

    def _described(self, v: Any) -> None:
        state = _state(v, type(v)) if type(v) is not Described else v.attributes
        if state is None:
            self._opaque(type(v))
            return
        self._put(b"D")
        self.write(str(type(v).__name__ if type(v) is not Described else v.name))
        self.write(state)


_CONTENT: "dict[type, Any]" = {
    OrderedDict: lambda v: [*OrderedDict.items(v)],
    dict: lambda v: dict([*dict.items(v)]),
    list: lambda v: [*list.__iter__(v)],
    tuple: lambda v: (*tuple.__iter__(v),),
    set: lambda v: {*set.__iter__(v)},
    frozenset: lambda v: frozenset({*frozenset.__iter__(v)}),
    str: str.__str__,
    bytes: lambda v: bytes([*bytes.__iter__(v)]),
    bytearray: lambda v: bytearray([*bytearray.__iter__(v)]),
    int: int.__int__,
    float: float.__float__,
}
"""The content of an instance of a subclass, read with the builtin class's own methods."""
_WORD = tuple.__itemsize__
_ORDINARY = (type, ABCMeta)
"""Metaclasses whose classes may be described; any other may hide what an instance holds."""


def _state(v: Any, kind: type) -> "dict[str | None, object] | None":
    """Collect an instance's attributes, slots, and its content under None.

    Returns None where there is hidden state, as in an exception or a C type: two objects that differ only there would
    count as equal. Hidden state shows in the size of an instance, which the visible parts must account for.
    """
    if kind is object:
        return None  # it has nothing but its identity
    state: "dict[str | None, object]" = {}
    base = next((cls for cls in kind.__mro__ if cls in _CONTENT), object)
    if base is not object:
        state[None] = _CONTENT[base](v)
    room = kind.__basicsize__ - base.__basicsize__
    for cls in kind.__mro__[: kind.__mro__.index(base)]:
        for name, member in vars(cls).items():
            if type(member) is MemberDescriptorType:
                room -= _WORD
                try:
                    state[str(name)] = member.__get__(v, kind)
                except AttributeError:
                    continue  # an empty slot
    if kind.__dictoffset__:
        # A negative offset: the dict lies before the instance, or behind a variable number of items.
        room -= _WORD if kind.__dictoffset__ > 0 or kind.__itemsize__ else 0
        state.update({str(k): i for k, i in object.__getattribute__(v, "__dict__").items()})
    room -= _WORD if kind.__weakrefoffset__ > 0 else 0
    return state if room <= 0 and kind.__itemsize__ == base.__itemsize__ else None


_CONTAINERS: dict[type, Any] = {
    list: _Writer._list,
    tuple: _Writer._tuple,
    dict: _Writer._dict,
    set: _Writer._set,
    Unordered: _Writer._set,
    frozenset: _Writer._frozenset,
    Mutated: _Writer._mutated,
    Generated: _Writer._generated,
    Described: _Writer._described,
}
