"""Define canonical, type-tagged values: the data that a program returned.

The child encodes, the supervisor parses bounded bytes (never pickle), and two values are equal when their canonical
bytes are. Exact builtin types, and value types of the standard library: anything else is *opaque*, equals nothing and
joins no cluster. (An object that equals everything fools a checker that compares inside the process.)
`sandbox.jailed.canonical` defines the encoding and its float tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox import decode
from sandbox.decode import Array, Enclosing, Malformed, Opaque
from sandbox.jailed.canonical import encode
from sandbox.jailed.stand_ins import Described, Generated, Mutated

__all__ = ["Array", "Described", "Enclosing", "Generated", "Malformed", "Mutated", "Opaque", "Value"]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A canonical value.

    `==` and `hash` follow the canonical bytes; an opaque value equals nothing, itself included.
    """

    canonical: bytes
    opaque: bool = False

    @classmethod
    def of(cls, obj: object) -> Value:
        """Encode Python data outside the jail, for expected answers.

        Floats are rounded as in the child, so equality is within the stated tolerance.
        """
        return cls.parse(encode(obj))

    @classmethod
    def parse(cls, data: bytes) -> Value:
        """Check untrusted bytes; raises `Malformed` for bytes that no honest child writes."""
        return cls(data, decode.inspect(data))

    def python(self) -> object:
        """Decode to Python data.

        Floats are rounded. Opaque parts are `Opaque`, a result with changed arguments is `Mutated`, an iterator is
        `Generated`.
        """
        return decode.decode(self.canonical)

    @property
    def result(self) -> Value:
        """The result of the call, without changes to its arguments."""
        return Value.parse(decode.result_of(self.canonical)) if self.canonical[:1] == b"M" else self

    def text(self, width: int = 80) -> str:
        """Format the value for people, like `repr`, cut to `width` characters."""
        try:
            full = repr(self.python())
        except ValueError:  # an int with more decimal digits than the interpreter allows
            full = f"<{len(self.canonical)} bytes of data>"
        full = full.encode("utf-8", "backslashreplace").decode()
        return full if len(full) <= width else full[: width - 1] + "…"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return not self.opaque and not other.opaque and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)
