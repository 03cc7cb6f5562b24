"""The prompt: chat turn, fill-in-the-middle or continuation."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cursor import at
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.forms import Ending, Form, Question, family_of
from ucoder_lsp.completion.prompt import CHUNK, LANGUAGE, REQUEST, AssembledPrompt, Chat, assemble
from ucoder_lsp.engine.vocab import FimTokens


def tokenize(text: str, special: bool = False) -> tuple[int, ...]:
    """Return one token per character, so that tests see every cut.

    Tokens are negative where markers are read.
    """
    return tuple(-ord(char) if special else ord(char) for char in text)


def chat(user: str) -> str:
    return f"<user>{user}<model>"


FIM = FimTokens(prefix=-1, suffix=-2, middle=-3, pad=None, repo=None, file=None)


def ask(
    context: CompletionContext,
    *questions: Question,
    fim: FimTokens | None = None,
    chat: Chat | None = None,
    budget: int = 1000,
) -> AssembledPrompt:
    """Ask these questions, or those of an unknown model."""
    asked = questions or family_of("some model").questions[context.shape]
    return assemble(context, tokenize, questions=asked, fim=fim, chat=chat, budget=budget)


def shown(prompt: AssembledPrompt) -> str:
    return "".join(chr(abs(token)) for token in prompt.tokens)


def test_a_prompt_never_ends_in_spaces() -> None:
    assert shown(ask(at("def f(x):\n    return |\n"))) == "def f(x):\n    return"


def test_fim_puts_the_suffix_between_its_sentinels() -> None:
    prompt = ask(at("ab |cd"), fim=FIM)
    assert prompt.tokens == (-1, *tokenize("ab"), -2, *tokenize("cd"), -3)
    assert prompt.begun_line is None


def test_an_empty_line_is_asked_with_the_line_break_before_it() -> None:
    prompt = ask(at("def f(x):\n    x += 1\n    |\n"), Question(Form.FILL, ends_with=Ending.NEWLINE), fim=FIM)
    assert prompt.tokens == (-1, *tokenize("def f(x):\n    x += 1\n"), -2, *tokenize("\n"), -3)
    assert prompt.begun_line == ""


@pytest.mark.parametrize("gap", ["", "\n    ", "\n  \n"])
def test_a_body_is_asked_on_a_line_of_its_own(gap: str) -> None:
    """Also where the cursor is still behind the header."""
    prompt = ask(
        at(f"def f(x):{gap}|"), Question(Form.CHAT, docstring=True, ends_with=Ending.NEWLINE), chat=chat
    )
    assert shown(prompt).endswith("<model>```python\ndef f(x):" + "\n" * max(gap.count("\n"), 1))


def test_an_empty_function_is_requested_with_a_begun_answer() -> None:
    document = 'import re\n\ndef f(x: int) -> int:\n    """Say <model>."""\n    |'
    prompt = ask(at(document), chat=chat)
    assert shown(prompt) == (
        f"<user>{REQUEST}\n\n```python\nimport re\n\ndef f(x: int) -> int:\n"
        '    """Say <model>."""\n```<model>```python\ndef f(x: int) -> int:'
    )
    markers = "".join(chr(-token) for token in prompt.tokens if token < 0)
    assert markers == "<user><model>", "no text of a document is read as a marker"


def test_the_begun_answer_may_hold_the_docstring() -> None:
    document = 'class A:\n    async def f(self) -> int:\n        """Say."""\n        |'
    prompt = ask(at(document), Question(Form.CHAT, docstring=True, ends_with=Ending.NEWLINE), chat=chat)
    assert shown(prompt).endswith('<model>```python\nasync def f(self) -> int:\n    """Say."""\n')
    assert prompt.dedent == "    "


def test_a_begun_function_is_requested_with_an_answer_begun_as_far() -> None:
    document = 'class A:\n    def f(self) -> int:\n        """Say."""\n        n = 1\n        return |n'
    assert shown(ask(at(document), chat=chat)) == (
        f"<user>{REQUEST}\n\n```python\nclass A:\n    def f(self) -> int:\n"
        '        """Say."""\n```<model>```python\ndef f(self) -> int:\n    n = 1\n    return'
    )


@pytest.mark.parametrize("marked", ["def f(x|):\n    return x\n", "class A:\n    x = |\n", "x = 1\n|", "|"])
def test_text_outside_functions_is_continued(marked: str) -> None:
    assert ask(at(marked), chat=chat) == ask(at(marked))


def test_an_unknown_model_with_fill_in_the_middle_gets_no_chat_turn() -> None:
    prompt = ask(at("def f(x):\n    |"), fim=FIM, chat=chat)
    assert prompt.tokens == (-1, *tokenize("def f(x):\n   "), -2, -3)


def test_an_empty_document_names_its_language() -> None:
    assert shown(ask(at("|"))) == LANGUAGE
    assert shown(ask(at("\n  |"))) == LANGUAGE


@given(st.integers(0, 3000), st.integers(0, 600), st.integers(8, 1500))
def test_a_chat_turn_fits_its_budget_and_keeps_the_newest_text(
    length: int, written: int, budget: int
) -> None:
    text = "".join(chr(65 + i % 26) for i in range(length)) + "\ndef f(x):"
    body = "".join(f"\n    y{n} = x" for n in range(written // 10))
    prompt = ask(at(f"{text}{body}\n    |"), chat=chat, budget=budget)
    assert len(prompt.tokens) <= budget
    if shown(prompt).startswith("<user>"):
        document, _, answer = shown(prompt).partition("```python\n")[2].partition("\n```<model>```python\n")
        assert len(document) >= min(len(text), CHUNK)
        assert text.endswith(document)
        assert answer == f"def f(x):{body}"
    else:
        assert prompt.tokens
        assert (text + body).endswith(shown(prompt))


def test_typing_in_a_function_only_adds_to_its_prompt() -> None:
    """The engine's cache then holds all but the last tokens."""
    text = "x = 1\n" * 300 + "def f(x):\n    y = "
    prompts = [ask(at(f"{text}{'z' * typed}|"), chat=chat).tokens for typed in range(1, 40)]
    assert prompts[0][0] == -ord("<")
    assert all(after[: len(before)] == before for before, after in itertools.pairwise(prompts))


def test_a_template_that_omits_the_users_text_is_not_used() -> None:
    context = at("def f(x):\n    |")
    assert ask(context, chat=lambda _: "<user>") == ask(context)


@given(st.integers(1, 3000), st.integers(8, 1500), st.booleans())
def test_a_prompt_fits_its_budget_and_keeps_the_newest_text(length: int, budget: int, has_fim: bool) -> None:
    fim = FimTokens(-1, -2, -3, None, None, None) if has_fim else None
    text = "".join(chr(65 + i % 26) for i in range(length))
    tokens = ask(at(text + "|" + "z" * 500), fim=fim, budget=budget).tokens
    assert len(tokens) <= budget
    before = tokens if fim is None else tokens[1 : tokens.index(-2)]
    assert "".join(map(chr, before)) == text[len(text) - len(before) :]
    assert before or not text


def test_the_start_of_a_long_prompt_stays_for_many_keystrokes() -> None:
    starts = set()
    for typed in range(100):
        text = "".join(chr(200 + i) for i in range(2000)) + "x" * typed
        starts.add(ask(at(text + "|")).tokens[0])
    assert len(starts) <= 2
