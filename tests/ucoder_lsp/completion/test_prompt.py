"""The prompt: chat turn, fill-in-the-middle or continuation."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import at
from ucoder_lsp.completion.prompt import CHUNK, QUESTION, assemble
from ucoder_lsp.engine.vocab import FimTokens


def tokenize(text: str, special: bool = False) -> tuple[int, ...]:
    """Return one token per character, so that tests see every cut.

    Tokens are negative where markers are read.
    """
    return tuple(-ord(char) if special else ord(char) for char in text)


def chat(user: str) -> str:
    return f"<user>{user}<model>"


def test_a_prompt_never_ends_in_white_space() -> None:
    tokens = assemble(at("def f(x):\n    return |\n"), tokenize, fim=None, budget=100)
    assert "".join(map(chr, tokens)) == "def f(x):\n    return"


def test_fim_puts_the_suffix_between_its_sentinels() -> None:
    fim = FimTokens(prefix=-1, suffix=-2, middle=-3, pad=None, repo=None, file=None)
    tokens = assemble(at("ab |cd"), tokenize, fim=fim, budget=100)
    assert tokens == (-1, *tokenize("ab"), -2, *tokenize("cd"), -3)


def test_an_empty_function_is_requested_with_a_begun_answer() -> None:
    document = 'import re\n\ndef f(x: int) -> int:\n    """Say <model>."""\n    |'
    tokens = assemble(at(document), tokenize, fim=None, chat=chat, budget=1000)
    assert "".join(chr(abs(token)) for token in tokens) == (
        f"<user>{QUESTION}\n\n```python\nimport re\n\ndef f(x: int) -> int:\n"
        '    """Say <model>."""\n```<model>```python\ndef f(x: int) -> int:'
    )
    markers = "".join(chr(-token) for token in tokens if token < 0)
    assert markers == "<user><model>", "no text of a document is read as a marker"


def test_a_begun_function_is_requested_with_an_answer_begun_as_far() -> None:
    document = 'class A:\n    def f(self) -> int:\n        """Say."""\n        n = 1\n        return |n'
    tokens = assemble(at(document), tokenize, fim=None, chat=chat, budget=1000)
    assert "".join(chr(abs(token)) for token in tokens) == (
        f"<user>{QUESTION}\n\n```python\nclass A:\n    def f(self) -> int:\n"
        '        """Say."""\n```<model>```python\ndef f(self) -> int:\n    n = 1\n    return'
    )


@pytest.mark.parametrize("marked", ["def f(x|):\n    return x\n", "class A:\n    x = |\n", "x = 1\n|", "|"])
def test_text_outside_functions_is_continued(marked: str) -> None:
    continued = assemble(at(marked), tokenize, fim=None, budget=1000)
    assert assemble(at(marked), tokenize, fim=None, chat=chat, budget=1000) == continued


def test_a_model_with_fill_in_the_middle_gets_no_chat_turn() -> None:
    fim = FimTokens(prefix=-1, suffix=-2, middle=-3, pad=None, repo=None, file=None)
    tokens = assemble(at("def f(x):\n    |"), tokenize, fim=fim, chat=chat, budget=1000)
    assert tokens == (-1, *tokenize("def f(x):"), -2, -3)


@given(st.integers(0, 3000), st.integers(0, 600), st.integers(8, 1500))
def test_a_chat_turn_fits_its_budget_and_keeps_the_newest_text(
    length: int, written: int, budget: int
) -> None:
    text = "".join(chr(65 + i % 26) for i in range(length)) + "\ndef f(x):"
    body = "".join(f"\n    y{n} = x" for n in range(written // 10))
    tokens = assemble(at(f"{text}{body}\n    |"), tokenize, fim=None, chat=chat, budget=budget)
    assert len(tokens) <= budget
    shown = "".join(chr(abs(token)) for token in tokens)
    if shown.startswith("<user>"):
        document, _, answer = shown.partition("```python\n")[2].partition("\n```<model>```python\n")
        assert len(document) >= min(len(text), CHUNK)
        assert text.endswith(document)
        assert answer == f"def f(x):{body}"
    else:
        assert shown
        assert (text + body).endswith(shown)


def test_typing_in_a_function_only_adds_to_its_prompt() -> None:
    """The engine's cache then holds all but the last tokens."""
    text = "x = 1\n" * 300 + "def f(x):\n    y = "
    prompts = [
        assemble(at(f"{text}{'z' * typed}|"), tokenize, fim=None, chat=chat, budget=1000)
        for typed in range(1, 40)
    ]
    assert prompts[0][0] == -ord("<")
    assert all(after[: len(before)] == before for before, after in itertools.pairwise(prompts))


def test_a_template_that_omits_the_users_text_is_not_used() -> None:
    context = at("def f(x):\n    |")
    continued = assemble(context, tokenize, fim=None, budget=1000)
    assert assemble(context, tokenize, fim=None, chat=lambda _: "<user>", budget=1000) == continued


@given(st.integers(0, 3000), st.integers(8, 1500), st.booleans())
def test_a_prompt_fits_its_budget_and_keeps_the_newest_text(length: int, budget: int, has_fim: bool) -> None:
    fim = FimTokens(-1, -2, -3, None, None, None) if has_fim else None
    text = "".join(chr(65 + i % 26) for i in range(length))
    tokens = assemble(at(text + "|" + "z" * 500), tokenize, fim=fim, budget=budget)
    assert len(tokens) <= budget
    before = tokens if fim is None else tokens[1 : tokens.index(-2)]
    assert "".join(map(chr, before)) == text[len(text) - len(before) :]
    assert before or not text


def test_the_start_of_a_long_prompt_stays_for_many_keystrokes() -> None:
    starts = set()
    for typed in range(100):
        text = "".join(chr(200 + i) for i in range(2000)) + "x" * typed
        starts.add(assemble(at(text + "|"), tokenize, fim=None, budget=1000)[0])
    assert len(starts) <= 2
