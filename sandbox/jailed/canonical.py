"""The canonical encoding: Python data as type-tagged, length-prefixed bytes, one spelling for one value.

Used on both sides of the jail: the child writes it, the supervisor reads it back as untrusted bytes. Two
values are the same exactly when their bytes are, which is what a comparison outside the jail needs.

* Exact builtin types only. An instance of a subclass, or of anything else, is *opaque*: it is written as the
  name of its type and equals nothing, and so does every container that holds it.
* Floats (also the parts of a complex) are rounded to 9 significant digits and count as zero below 1e-12 in
  magnitude; -0.0 is 0.0, and every NaN is the same value.
* Sets and dicts are written in the order of their encoded members: free of insertion and hash order.
* A container that holds itself is written once; inside, it is its distance upwards.
* numpy scalars count as the Python number they hold; an array keeps its dtype, shape and elements.

What it does not do: carry floats exactly (arguments travel by another road), or promise that bytes a hostile
child wrote are what its program returned. It promises that reading them is bounded and yields only data.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from types import GeneratorType, MemberDescriptorType
from typing import Any

MAX_DEPTH = 100
"""Deepest nesting that is written or read; deeper values are opaque (and never reach the C stack)."""

MAX_GENERATED = 1000
"""Items taken from a generator or another builtin iterator before it counts as endless."""

TINY = 1e-12

_ITERATORS: "tuple[type, ...]" = (
    GeneratorType, map, filter, zip, enumerate, reversed,
    type(iter([])), type(iter(())), type(iter({})), type(iter({}.items())), type(iter({}.values())),
    type(iter(set())), type(iter("")), type(iter(b"")), type(iter(range(0))), type(iter(range(1 << 70))),
)  # fmt: skip


class TooLarge(Exception):
    """The encoding would pass the number of bytes allowed for it."""


class Malformed(ValueError):
    """Bytes that no honest encoder writes."""


class Mutated:
    """A call's result together with the arguments it left changed."""

    __slots__ = ("args", "kwargs", "result")

    def __init__(self, result: object, args: object, kwargs: object) -> None:
        self.result, self.args, self.kwargs = result, args, kwargs

    def __repr__(self) -> str:
        changed = [repr(a) for a in self.args] if isinstance(self.args, (list, tuple)) else [repr(self.args)]
        if isinstance(self.kwargs, dict):
            changed += ["%s=%r" % item for item in self.kwargs.items()]
        return "%r, leaving its arguments as (%s)" % (self.result, ", ".join(changed))


class Frozen:
    """Bytes that `encode` wrote earlier, to be put in place as they are: what a value was at that moment."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Generated:
    """Items an iterator gave, and whether it had more than `MAX_GENERATED` of them."""

    __slots__ = ("items", "more")

    def __init__(self, items: list[object], more: bool) -> None:
        self.items, self.more = items, more

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.items))
        return "<yields %s%s>" % (inner, ", ..." if self.more else "")


class Described:
    """State of an instance of one of the program's own classes: type name and attributes.

    What it holds as an instance of `dict`, `int` or another builtin type stands under None, as no attribute does.
    """

    __slots__ = ("attributes", "name")

    def __init__(self, name: str, attributes: "dict[str | None, object]") -> None:
        self.name, self.attributes = name, attributes

    def __repr__(self) -> str:
        shown = ["%r" % (v,) if k is None else "%s=%r" % (k, v) for k, v in self.attributes.items()]
        return "<%s %s>" % (self.name, ", ".join(shown))


class Opaque:
    """Stands for a value that is not plain data."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return "<%s>" % self.name


class Enclosing:
    """Stands for the container `levels` above this place, in which it is held."""

    __slots__ = ("levels",)

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def __repr__(self) -> str:
        return "..."


class Array:
    """A numpy array as data: dtype name, shape, and elements in C order."""

    __slots__ = ("dtype", "items", "shape")

    def __init__(self, dtype: str, shape: tuple[int, ...], items: list[object]) -> None:
        self.dtype, self.shape, self.items = dtype, shape, items

    def __repr__(self) -> str:
        return "array(%r, shape=%r, dtype=%s)" % (self.items, self.shape, self.dtype)


# ---------------------------------------------------------------------------------------------- writing


def encode(value: object, limit: int = 1 << 26, describe: bool = False) -> bytes:
    """Write `value`; raises `TooLarge` as soon as more than `limit` bytes are needed.

    With `describe`, instances of Python classes are written with all that they hold instead of as opaque: for
    the state a call sequence leaves behind. Those that hold something out of sight stay opaque.
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
    """The encoding of the commonest small values without a writer; None for any other. Same bytes."""
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
"""How lists and tuples of a few integers are written, by their length."""


def _float(x: float) -> bytes:
    if x != x:
        return b"nan"
    if -TINY < x < TINY:
        return b"0"
    return b"%.8e" % x if x not in (float("inf"), float("-inf")) else (b"inf" if x > 0 else b"-inf")


class _Writer:
    """One pass over one value. `parts` grows; `room` is what is left of the limit."""

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
            data = b"f%b;" % _float(v)
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
            self._put(b"c%b,%b;" % (_float(v.real), _float(v.imag)))
        elif kind is range:
            self._put(b"r%x,%x,%x;" % (v.start, v.stop, v.step))
        elif kind is Frozen:
            self._put(v.data)
        elif v is Ellipsis:
            self._put(b"E")
        elif kind in _ITERATORS:
            self._container(_take(v), Generated)
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
        if self.describe and type(kind) is type:
            self._container(v, Described)
            return
        self._opaque(kind)

    def _opaque(self, kind: type) -> None:
        name = type.__dict__["__name__"].__get__(kind)  # a metaclass may lie about it
        text = str(name)[:80].encode("utf-8", "replace")
        self._put(b"o%d:%b" % (len(text), text))

    def _container(self, v: Any, kind: type) -> None:
        ident = id(v)
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
        """Write values to bytes of their own, to be sorted by their encoding."""
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
"""What an instance of a subclass holds as an instance of this class, by the class's own methods."""
_WORD = tuple.__itemsize__


def _state(v: Any, kind: type) -> "dict[str | None, object] | None":
    """All that an instance holds: its attributes, also those in slots, and its content under None.

    None where there is more than that, as in an exception or a C type: told by the size of an instance, which the
    parts that can be seen must account for. Two objects that differ out of sight would be called equal.
    """
    if kind is object:
        return None  # all it has is its identity
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
                    continue  # a slot that nothing was put in
    if kind.__dictoffset__:
        # Where the sign is negative the dict lies before the instance, or behind items of any number.
        room -= _WORD if kind.__dictoffset__ > 0 or kind.__itemsize__ else 0
        state.update({str(k): i for k, i in object.__getattribute__(v, "__dict__").items()})
    room -= _WORD if kind.__weakrefoffset__ > 0 else 0
    return state if room <= 0 and kind.__itemsize__ == base.__itemsize__ else None


def _take(iterator: Any) -> Generated:
    items: list[object] = []
    for item in iterator:
        if len(items) == MAX_GENERATED:
            return Generated(items, True)
        items.append(item)
    return Generated(items, False)


_CONTAINERS: dict[type, Any] = {
    list: _Writer._list,
    tuple: _Writer._tuple,
    dict: _Writer._dict,
    set: _Writer._set,
    frozenset: _Writer._frozenset,
    Mutated: _Writer._mutated,
    Generated: _Writer._generated,
    Described: _Writer._described,
}


# ---------------------------------------------------------------------------------------------- reading


class Member:
    """A list, set or dict that stands in a set or as a key, as JavaScript's may: its bytes make it hashable.

    Not its text, which would quote the text of a member within it, and double with each level.
    """

    __slots__ = ("data", "value")

    def __init__(self, value: object, data: memoryview) -> None:
        self.value, self.data = value, data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return repr(self.value)


def decode(data: bytes) -> Any:
    """Read one value back as Python data. Raises `Malformed` on anything an honest encoder does not write."""
    reader = _Reader(data)
    value = reader.read(0)
    if reader.at != len(data):
        raise Malformed("bytes after the value")
    return value


def result_of(data: bytes) -> bytes:
    """The bytes of the result within those of a `Mutated`, checked; any other value's bytes as they are."""
    if data[:1] != b"M":
        return data
    reader = _Reader(data)
    reader.at = 1
    reader.read(1)
    return data[1 : reader.at]


def inspect(data: bytes) -> bool:
    """Check untrusted bytes from front to back; returns whether the value is opaque anywhere."""
    reader = _Reader(data, check_only=True)
    reader.read(0)
    if reader.at != len(data):
        raise Malformed("bytes after the value")
    return reader.opaque


class _Reader:
    """A bounded recursive reader: depth and every length are checked before anything is built.

    With `check_only` sets and dicts stay empty: nothing is hashed, so no member can be chosen to make that slow.
    """

    def __init__(self, data: bytes, check_only: bool = False) -> None:
        self.data, self.at, self.opaque = data, 0, False
        self.check_only = check_only

    def read(self, depth: int) -> Any:
        if depth > MAX_DEPTH + 4:
            raise Malformed("nested too deeply")
        tag = self.data[self.at : self.at + 1]
        self.at += 1
        reader = _READERS.get(tag)
        if reader is None:
            raise Malformed("unknown tag %r" % tag)
        return reader(self, depth)

    def _until(self, end: bytes) -> bytes:
        stop = self.data.find(end, self.at)
        if stop < 0:
            raise Malformed("no %r" % end)
        text = self.data[self.at : stop]
        self.at = stop + 1
        return text

    def _count(self) -> int:
        text = self._until(b":")
        if not text.isdigit() or len(text) > 9 or (text[:1] == b"0" and text != b"0"):
            raise Malformed("bad length")
        n = int(text)
        if n > len(self.data) - self.at:
            raise Malformed("length past the end")
        return n

    def _bytes(self) -> bytes:
        n = self._count()
        self.at += n
        return self.data[self.at - n : self.at]

    def _text(self) -> str:
        try:
            return self._bytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Malformed("bad text") from None

    def _int(self, depth: int = 0) -> int:
        return _hex(self._until(b";"))

    def _float(self, depth: int = 0) -> float:
        return _decimal(self._until(b";"))

    def _complex(self, depth: int) -> complex:
        return complex(_decimal(self._until(b",")), _decimal(self._until(b";")))

    def _range(self, depth: int) -> range:
        start, stop, step = (_hex(self._until(end)) for end in (b",", b",", b";"))
        if step == 0:
            raise Malformed("range step of zero")
        return range(start, stop, step)

    def _items(self, depth: int) -> list[Any]:
        n = self._count()
        return [self.read(depth + 1) for _ in range(n)]

    def _sorted_items(self, depth: int) -> list[Any]:
        items, before = [], b""
        for _ in range(self._count()):
            item, here = self._member(depth + 1)
            if here < before:
                raise Malformed("set out of order")
            before = here
            if not self.check_only:
                items.append(item)
        return items

    def _dict(self, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        before = b""
        for _ in range(self._count()):
            key, here = self._member(depth + 1)
            if here < before:
                raise Malformed("dict out of order")
            before = here
            item = self.read(depth + 1)
            if not self.check_only:
                result[key] = item
        return result

    def _member(self, depth: int) -> "tuple[Any, bytes]":
        """What stands in a set or as a key, hashable, and its bytes."""
        start = self.at
        item = self.read(depth)
        if not self.check_only:
            try:
                hash(item)
            except TypeError:
                item = Member(item, memoryview(self.data)[start : self.at])
        return item, self.data[start : self.at]

    def _opaque(self, depth: int) -> Opaque:
        self.opaque = True
        return Opaque(self._text())

    def _enclosing(self, depth: int) -> Enclosing:
        levels = _hex(self._until(b";"))
        if not 0 < levels <= depth + 1:
            raise Malformed("cycle to nowhere")
        return Enclosing(levels)

    def _mutated(self, depth: int) -> Mutated:
        return Mutated(self.read(depth + 1), self.read(depth + 1), self.read(depth + 1))

    def _generated(self, depth: int, more: bool = False) -> Generated:
        items = self.read(depth + 1)
        if type(items) is not list:
            raise Malformed("generator without items")
        return Generated(items, more)

    def _endless(self, depth: int) -> Generated:
        return self._generated(depth, more=True)

    def _described(self, depth: int) -> Described:
        name, attributes = self.read(depth + 1), self.read(depth + 1)
        if type(name) is not str or type(attributes) is not dict:
            raise Malformed("bad description")
        return Described(name, attributes)

    def _array(self, depth: int) -> Array:
        dtype, shape, items = (self.read(depth + 1) for _ in range(3))
        if type(dtype) is not str or type(shape) is not tuple or type(items) is not list:
            raise Malformed("bad array")
        return Array(dtype, shape, items)


def _hex(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not digits or digits.strip(b"0123456789abcdef") or (digits[:1] == b"0" and text != b"0"):
        raise Malformed("bad integer")
    return int(text, 16)


def _decimal(text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Malformed("bad float") from None
    if _float(value) != text:
        raise Malformed("float not in canonical form")
    return value


_READERS: dict[bytes, Any] = {
    b"N": lambda r, d: None,
    b"T": lambda r, d: True,
    b"F": lambda r, d: False,
    b"E": lambda r, d: Ellipsis,
    b"i": _Reader._int,
    b"f": _Reader._float,
    b"c": _Reader._complex,
    b"r": _Reader._range,
    b"s": lambda r, d: r._text(),
    b"b": lambda r, d: r._bytes(),
    b"B": lambda r, d: bytearray(r._bytes()),
    b"l": _Reader._items,
    b"t": lambda r, d: tuple(r._items(d)),
    b"S": lambda r, d: set(r._sorted_items(d)),
    b"Z": lambda r, d: frozenset(r._sorted_items(d)),
    b"d": _Reader._dict,
    b"o": _Reader._opaque,
    b"y": _Reader._enclosing,
    b"M": _Reader._mutated,
    b"g": _Reader._generated,
    b"G": _Reader._endless,
    b"D": _Reader._described,
    b"a": _Reader._array,
}
