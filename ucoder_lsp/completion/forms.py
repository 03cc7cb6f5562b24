"""The forms of a question to the model, by family of models and shape of completion.

The table is `forms.toml`, so that a model needs a row and no code. What a form puts into the prompt is in `prompt`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any

from ucoder_lsp.completion.context import Shape


class Form(StrEnum):
    """The ways to ask for the text at the cursor."""

    FILL = "fill"
    """Fill-in-the-middle: the model sees the text before and behind the cursor."""
    CHAT = "chat"
    """A user's turn with the document, and an answer that is already begun."""
    CONTINUE = "continue"
    """The text before the cursor."""


class Ending(StrEnum):
    """The ends of a prompt for an empty line. The next token then begins where tokens of the model's training begin."""

    CODE = "code"
    """The last code: the answer begins with a line break."""
    NEWLINE = "newline"
    """The line break before the cursor's line: the answer begins with its indentation."""
    INDENT = "indent"
    """The indentation but for one space, which belongs to the first word's token."""


@dataclass(frozen=True, slots=True)
class Question:
    """One form with its details."""

    form: Form
    docstring: bool = False
    """CHAT only: whether the begun answer repeats the function's docstring."""
    rest: bool = False
    """CHAT only: whether the user's turn shows the code behind the cursor."""
    ends_with: Ending = Ending.CODE
    """Where the prompt for an empty line ends."""


CONTINUATION = Question(Form.CONTINUE)
"""What every model can do."""


@dataclass(frozen=True, slots=True)
class Family:
    """The questions for one family of models, best first for each shape."""

    name: str
    words: tuple[str, ...]
    """Words that are all in the lower-case name of a model of this family."""
    questions: Mapping[Shape, tuple[Question, ...]]

    def has(self, model_name: str) -> bool:
        name = model_name.lower().replace(" ", "-")
        return all(word in name for word in self.words)


def family_of(model_name: str) -> Family:
    """Return the first family of the table that has this model."""
    return next(family for family in families() if family.has(model_name))


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """Read the table; its last family has every model."""
    text = resources.files("ucoder_lsp.completion").joinpath("forms.toml").read_text(encoding="utf-8")
    return tuple(_family(row) for row in tomllib.loads(text)["family"])


def _family(row: dict[str, Any]) -> Family:
    questions = {shape: tuple(_question(question) for question in row[shape]) for shape in Shape}
    return Family(row["name"], tuple(row["words"]), questions)


def _question(row: dict[str, Any]) -> Question:
    form, ends_with = Form(row["form"]), Ending(row.get("ends_with", Ending.CODE))
    return Question(form, row.get("docstring", False), row.get("rest", False), ends_with)
