"""Read canonical bytes back as data, bounded and without trust.

The bytes come from a process that shares its memory with hostile code, so reading is bounded: depth and every length
are checked before anything is built, and the result holds data only. The encoding is that of
`sandbox.jailed.canonical`; this half runs outside the jail alone.
"""

from __future__ import annotations

from typing import Any

from sandbox.jailed.canonical import MAX_DEPTH, float_text
from sandbox.jailed.stand_ins import Described, Generated, Mutated


class Malformed(ValueError):
    """Raised for bytes that an honest encoder never writes."""


class Opaque:
    """The placeholder for a value that is not plain data."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Enclosing:
    """The placeholder for the container `levels` above, which holds this place."""

    __slots__ = ("levels",)

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def __repr__(self) -> str:
        return "..."


class Array:
    """A numpy array as data: dtype, shape, elements in C order."""

    __slots__ = ("dtype", "items", "shape")

    def __init__(self, dtype: str, shape: tuple[int, ...], items: list[object]) -> None:
        self.dtype, self.shape, self.items = dtype, shape, items

    def __repr__(self) -> str:
        return f"array({self.items!r}, shape={self.shape!r}, dtype={self.dtype})"


class Member:
    """The placeholder for a list, set or dict used as a key.

    JavaScript has such values, as members of a set too. They are compared and hashed by their bytes. Hashing their
    text would cost twice as much with each level, because it quotes the text of each member within it.
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
    """Read one value back as Python data.

    Raises `Malformed` for bytes that no honest encoder writes.
    """
    reader = _Reader(data)
    value = reader.read(0)
    if reader.at != len(data):
        raise Malformed("bytes after the value")
    return value


def result_of(data: bytes) -> bytes:
    """Extract the bytes of the result from those of a `Mutated`.

    Other values are returned unchanged.
    """
    if data[:1] != b"M":
        return data
    reader = _Reader(data)
    reader.at = 1
    reader.read(1)
    return data[1 : reader.at]


def inspect(data: bytes) -> bool:
    """Check untrusted bytes completely.

    Returns whether any part of the value is opaque.
    """
    reader = _Reader(data, check_only=True)
    reader.read(0)
    if reader.at != len(data):
        raise Malformed("bytes after the value")
    return reader.opaque


class _Reader:
    """Reads values recursively and bounded.

    Depth and every length are checked before anything is built.

    With `check_only` sets and dicts stay empty. Nothing is hashed, so no choice of members can make that slow.
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
            raise Malformed(f"unknown tag {tag!r}")
        return reader(self, depth)

    def _until(self, end: bytes) -> bytes:
        stop = self.data.find(end, self.at)
        if stop < 0:
            raise Malformed(f"missing {end!r}")
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

    def _member(self, depth: int) -> tuple[Any, bytes]:
        """Read a member of a set or a key, made hashable.

        Returns it with its bytes.
        """
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
            raise Malformed("a cycle that points above the value")
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
    if float_text(value) != text:
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
