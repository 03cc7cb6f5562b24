"""A problem in the two forms of a request.

The forms are a sentence with an assert, and a stub to complete.

They are the templates of `ucoder eval`; the server's requests have the second form. The shown value comes from a
solution's behaviour, never from the model's own asserts.
"""

from __future__ import annotations

import ast

from trainer.sampling.sampler import Chat, render
from trainer.stages.problems import Problem

MAX_TOKENS = 256
"""Of an answer to a served prompt: as many as the evaluation allows."""


def served_prompts(problem: Problem, assertion: str, chat: Chat) -> tuple[str, str]:
    """Make both prompts of a problem, which show the value of one assert."""
    return sentence_prompt(problem, assertion, chat), stub_prompt(problem, assertion, chat)


def sentence_prompt(problem: Problem, assertion: str, chat: Chat) -> str:
    """Make a prompt in the form of MBPP+.

    It is a sentence and one assert.
    """
    return chat(render("solve_sentence", statement=f"{problem.task}\n{assertion}").text)


def stub_prompt(problem: Problem, assertion: str, chat: Chat) -> str:
    """Make a prompt in the form of HumanEval: a stub to complete."""
    return chat(render("solve_stub", statement=with_example(problem.stub, assertion)).text)


def with_example(stub: str, assertion: str) -> str:
    """Replace the examples in a stub by an assert's call and value.

    They come last in every kept problem (`problems.read`).
    """
    claim = ast.parse(assertion).body[0]
    assert isinstance(claim, ast.Assert)
    assert isinstance(claim.test, ast.Compare)
    call, value = ast.unparse(claim.test.left), ast.unparse(claim.test.comparators[0])
    text, _, _ = stub.partition("    >>> ")
    return f'{text}    >>> {call}\n    {value}\n    """'


def without_examples(skeleton: str) -> str:
    """Remove the examples from a stub, with or without a plan.

    Most of their values are wrong.
    """
    head, _, rest = skeleton.partition("    >>> ")
    return f'{head.rstrip()}\n    """{rest.partition(_CLOSING)[2]}'


_CLOSING = '"""'
