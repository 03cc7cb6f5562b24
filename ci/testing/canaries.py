"""Make canaries: must-fail tests that show whether failures are still reported.

A patch that makes pytest report everything as passed (for example by replacing `CallInfo.from_call`) makes
these pass too. Their names and words are random for each run, and they look like ordinary tests, so a list of
names cannot spare them. A fake that has the names of the project's own tests can still spare the canaries.
The comparison of behaviour outside the process does not depend on them.
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
"""Each fails in another way: a comparison, a wrong value, an exception, a missing exception, a plain fail."""


@dataclass(frozen=True, slots=True)
class Canaries:
    """One file of must-fail tests: name, text and pytest ids.

    The file lies in the tree's root.
    """

    file: str
    source: str
    ids: frozenset[str]

    def plant(self, tree: Path) -> None:
        """Write the file into a tree before untrusted code runs there."""
        with (tree / self.file).open("x", encoding="utf-8") as out:
            out.write(self.source)


def make_canaries() -> Canaries:
    """Make new canaries with unpredictable names."""
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
