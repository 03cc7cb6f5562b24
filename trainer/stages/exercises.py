"""The hand-written exercises (`prompts/exercises.md`), which the prompts of the stages show as examples.

Prompts with the same set of examples share most of their prefill. So there are few sets, and each stage works through
the problems of one set after the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from trainer.run.store import digest
from trainer.sampling.sampler import PROMPTS

FENCE = re.compile(r"^```python\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
SHOT_SETS = 16
"""Number of different choices of exercises."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A hand-written exercise."""

    title: str
    task: str
    hint: str
    code: str
    """The complete function."""
    asserts: str

    @property
    def function(self) -> str:
        """Its name."""
        return self.code.split("(")[0].removeprefix("def ")

    @property
    def stub(self) -> str:
        """Signature and docstring."""
        return self.code[: self.code.index('"""\n', self.code.index('"""') + 3) + 3]

    @property
    def plan(self) -> str:
        """The comment that holds the plan, indented like the body."""
        return next(line for line in self.code.splitlines() if line.lstrip().startswith("# Plan:"))


@lru_cache(maxsize=1)
def exercises() -> tuple[Exercise, ...]:
    """Read the hand-written exercises."""
    found = []
    for section in (PROMPTS / "exercises.md").read_text("utf-8").split("## ")[1:]:
        heading, text = section.split("\n", 1)
        code, asserts = FENCE.findall(text)
        found.append(
            Exercise(heading, _field(text, "Task"), _field(text, "Hint"), code.rstrip(), asserts.strip())
        )
    return tuple(found)


def shot_set(number: int, n: int) -> list[Exercise]:
    """Choose n exercises, the same ones for the same number.

    The sets together show all equally often.
    """
    deck = Random(0).sample(exercises(), len(exercises()))  # noqa: S311  # not a secret: which examples to show
    return [deck[(number * n + i) % len(deck)] for i in range(n)]


def shot_set_of(name: str) -> int:
    """Return the set's number for the prompts of a task or function."""
    return int(digest(name)[:8], 16) % SHOT_SETS


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""
