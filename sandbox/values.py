"""Canonical, type-tagged values: what a program returned, in a form that only data can have.

The child encodes, the supervisor only ever parses bounded bytes (never pickle), and two values are equal when
their canonical bytes are. Exact builtin types only: anything else is *opaque*, equal to nothing, in no
cluster (always-equal objects fool every checker that compares inside the process). The encoding itself, with
its stated float tolerance, is `sandbox.jailed.canonical`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.jailed import canonical
from sandbox.jailed.canonical import Array, Described, Enclosing, Generated, Malformed, Mutated, Opaque

__all__ = ["Array", "Described", "Enclosing", "Generated", "Malformed", "Mutated", "Opaque", "Value"]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One canonical value.

    `==` and `hash` follow the canonical bytes; an opaque value equals nothing, itself included.
    """

    canonical: bytes
    opaque: bool = False

    @classmethod
    def of(cls, obj: object) -> Value:
        """The canonical value of Python data: for expected answers, outside the jail.

        Floats are rounded as the child rounds them, so equality is within the stated tolerance.
        """
        return cls.parse(canonical.encode(obj))

    @classmethod
    def parse(cls, data: bytes) -> Value:
        """A value from untrusted bytes; raises `Malformed` for anything an honest child does not write."""
        return cls(data, canonical.inspect(data))

    def python(self) -> object:
        """The value as Python data. Floats come back rounded; opaque parts are `Opaque`, a changed argument
        list is `Mutated`, an iterator is `Generated`."""
        return canonical.decode(self.canonical)

    @property
    def result(self) -> Value:
        """What the call returned, whatever it did to its arguments."""
        return Value.parse(canonical.result_of(self.canonical)) if self.canonical[:1] == b"M" else self

    def text(self, width: int = 80) -> str:
        """The value for a person, like `repr`, cut to `width` characters."""
        try:
            full = repr(self.python())
        except ValueError:  # an int past the interpreter's limit for decimal digits
            full = f"<{len(self.canonical)} bytes of data>"
        full = full.encode("utf-8", "backslashreplace").decode()
        return full if len(full) <= width else full[: width - 1] + "…"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return not self.opaque and not other.opaque and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)
