"""Tests that must fail: they show whether a failure can still be seen.

A patch that makes pytest report everything as passed (evidence: `CallInfo.from_call` replaced) makes these
pass too. Their names and words are drawn anew for each run, and they look like ordinary tests, so that
sparing them takes more than a list of names. A fake that knows the project's own test names can still spare
them; behaviour compared outside the process is the check that does not depend on this.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

_SYLLABLES = ("ba", "ce", "do", "fi", "gu", "ka", "le", "mo", "ni", "pa", "re", "so", "ta", "ve", "zi")

_BODIES = (
    "    assert {a} == {b}\n",
    "    values = [{a}, {b}]\n    assert sorted(values) == values[:1]\n",
    "    raise ValueError({a})\n",
    "    with pytest.raises(KeyError):\n        dict({word}={a})\n",
    "    assert not {{'{word}': {a}}}\n",
    "    pytest.fail('{word}')\n",
)
"""Each fails in another way: comparison, a wrong value, an exception, none where one is due, a plain fail."""


@dataclass(frozen=True, slots=True)
class Canaries:
    """One file of must-fail tests: its name in the tree's root, its text, and the ids pytest gives them."""

    file: str
    source: str
    ids: frozenset[str]

    def plant(self, tree: Path) -> None:
        """Write the file into a tree that nothing untrusted has run in yet."""
        with (tree / self.file).open("x", encoding="utf-8") as out:
            out.write(self.source)


def make() -> Canaries:
    """Fresh canaries with unpredictable names."""
    file = f"test_{_word()}.py"
    names = [f"test_{_word()}_{_word()}" for _ in _BODIES]
    bodies = secrets.SystemRandom().sample(_BODIES, len(_BODIES))
    source = "import pytest\n"
    for name, body in zip(names, bodies, strict=True):
        low = 1 + secrets.randbelow(1000)
        text = body.format(a=low, b=low + 1 + secrets.randbelow(1000), word=_word())
        source += f"\n\ndef {name}():\n{text}"
    return Canaries(file, source, frozenset(f"{file}::{name}" for name in names))


def _word() -> str:
    return "".join(secrets.choice(_SYLLABLES) for _ in range(4))
