"""Canonical, type-tagged values: what a program returned, in a form that only data can have.

The child encodes, the supervisor only ever parses bounded bytes (never pickle), and two values are equal when
their canonical bytes are. Exact builtin types only: anything else is *opaque*, equal to nothing, in no
cluster (always-equal objects fool every checker that compares inside the process).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One canonical value.

    `==` and `hash` follow the canonical bytes; an opaque value equals nothing, itself included.
    """

    canonical: bytes
    opaque: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return not self.opaque and not other.opaque and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)
