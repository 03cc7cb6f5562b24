"""The prompts that the flow sends, and a sandbox that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandbox.consensus.election import elect, without_running
from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.rules.joint import Joint
from sandbox.errors import SandboxError
from sandbox.pool import Sandbox
from sandbox.program import probe_text
from tests.support import tiny_gguf
from tests.support.cursor import asked, at
from ucoder_lsp.completion.explain import explain
from ucoder_lsp.completion.flow import Completer
from ucoder_lsp.completion.insertable import insertable_texts
from ucoder_lsp.completion.probing import REQUEST_LIMITS, RequestInputs
from ucoder_lsp.completion.prompt import REQUEST
from ucoder_lsp.config import Settings
from ucoder_lsp.engine.engine import Engine, Ticket
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest


def test_a_function_is_requested_through_the_chat_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine.load(tiny_gguf.write_model(tmp_path / "m.gguf"), n_ctx=1024, k_max=2, n_threads=1) as engine:
        prompts: list[str] = []
        submit = engine.submit

        def record(request: GenerationRequest) -> Ticket:
            prompts.append(engine.vocab.detokenize(request.prompt, special=True))
            return submit(request)

        monkeypatch.setattr(engine, "submit", record)
        completer = Completer(engine, None, Settings(max_tokens=4))
        asyncio.run(completer.complete("def f(x):\n    ", 1, 4))
        asyncio.run(completer.complete("def f(x):\n    return ", 1, 11))
        asyncio.run(completer.complete("x = ", 0, 4))
    requested, begun, continued = prompts
    assert requested.startswith(f"<|im_start|>user\n{REQUEST}\n\n```python\ndef f(x):\n```<|im_end|>")
    assert requested.endswith("```python\ndef f(x):")
    assert begun == f"{requested}\n    return"
    assert continued == "x ="


def test_the_fallback_counts_the_texts_that_would_be_inserted() -> None:
    """Not the functions: three and two texts that differ in a comment are not five."""
    context = at("def total(numbers):\n    |\n")
    bodies = ["return sum(numbers)"] * 3 + ["return sum(numbers)  # all"] * 2 + ["return max(numbers)"] * 4
    samples = [Candidate(f"\n    {body}", (), (), Finish.EOS) for body in bodies]
    insertable, _ = insertable_texts(samples, context, asked(context))
    chosen = without_running(insertable.ballots(), "nothing may run").chosen
    assert chosen is not None
    assert insertable.texts[insertable.drawn[chosen][0]].text == "return max(numbers)"


async def test_a_sandbox_that_fails_is_an_abstention_and_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise SandboxError("the jail is gone")

    context = at('def largest(items: list[int]) -> int:\n    """Return the largest item."""\n    |\n')
    inputs = RequestInputs(context, 16)
    inputs.make()
    samples = [Candidate("\n    return max(items)", (), (), Finish.EOS)] * 2
    insertable, dropped = insertable_texts(samples, context, asked(context))
    assert (len(insertable.texts), len(insertable.drawn), dropped) == (1, 2, [])
    with (
        Engine.load(tiny_gguf.write_model(tmp_path / "m.gguf"), n_ctx=256, k_max=1, n_threads=1) as engine,
        Sandbox(workers=1) as sandbox,
    ):
        monkeypatch.setattr(sandbox, "arun", broken)
        election = await Completer(engine, sandbox, Settings())._elect(context, insertable, inputs)
    assert "the jail is gone" in election.decision.reason
    assert (election.by_consensus, election.chosen) == (False, 0)


@pytest.mark.parametrize(
    ("marked", "finish", "reason"),
    [
        (
            "def area(a: int, b: int) -> int:\n    # multiply |\n    return a * b\n",
            Finish.EOS,
            "changes no behaviour",
        ),
        ("def area(a: int, b: int) -> int:\n    |\n", Finish.LENGTH, "no candidate was finished"),
    ],
)
async def test_what_running_cannot_show_is_never_a_consensus(
    tmp_path: Path, marked: str, finish: Finish, reason: str
) -> None:
    context = at(marked)
    inputs = RequestInputs(context, 16)
    inputs.make()
    samples = [Candidate("\n    c = a * b\n    return c", (), (), finish)] * 8
    if context.prose:
        samples = [Candidate(" the sides", (), (), finish)] * 8
    insertable, _ = insertable_texts(samples, context, asked(context))
    assert len(insertable.texts) == 1
    with (
        Engine.load(tiny_gguf.write_model(tmp_path / "m.gguf"), n_ctx=256, k_max=1, n_threads=1) as engine,
        Sandbox(workers=1) as sandbox,
    ):
        election = await Completer(engine, sandbox, Settings())._elect(context, insertable, inputs)
    assert reason in election.decision.reason
    assert (election.by_consensus, election.chosen) == (False, 0)


def test_a_guess_is_called_a_guess() -> None:
    context = at("def double(n: int) -> int:\n    |\n")
    inputs = RequestInputs(context, 16)
    inputs.make()
    assert inputs.probe_set is not None
    samples = [Candidate(f"\n    return {n}", (), (), Finish.EOS) for n in ("n * 2", "n + n", "n")]
    insertable, dropped = insertable_texts(samples, context, asked(context))
    with Sandbox(workers=1) as sandbox:
        rule = Joint(least_confidence=1.0)
        election = elect(
            insertable.ballots(), inputs.probe_set, sandbox=sandbox, rule=rule, limits=REQUEST_LIMITS
        )
    explanation = explain(context, Generation(tuple(samples), None), insertable, dropped, election)
    assert (explanation.decided_by, explanation.text) == ("guess", "return n * 2")
    assert explanation.reason.startswith("Too little speaks for the best candidate: 2 of 3")
    assert 0 < explanation.confidence < 1


def test_an_unknown_type_lets_the_commonest_text_win_and_says_so() -> None:
    context = at("import pandas as pd\n\n\ndef mean_age(people: pd.DataFrame) -> float:\n    |\n")
    inputs = RequestInputs(context, 16)
    inputs.make()
    assert inputs.probe_set is not None
    assert inputs.may_stop_early
    bodies = ["return 0"] + ["return people['age'].mean()"] * 3
    samples = [Candidate(f"\n    {body}", (), (), Finish.EOS) for body in bodies]
    insertable, dropped = insertable_texts(samples, context, asked(context))
    with Sandbox(workers=1) as sandbox:
        ballots, rule = insertable.ballots(), RULES[DEFAULT_RULE]
        election = elect(ballots, inputs.probe_set, sandbox=sandbox, rule=rule, limits=REQUEST_LIMITS)
    generation = Generation(tuple(samples), None)
    explanation = explain(context, generation, insertable, dropped, election)
    assert explanation.text == "return people['age'].mean()"
    assert explanation.decided_by == "fluency"
    assert "no input could be made for `people: pd.DataFrame`" in explanation.reason


def test_an_explanation_shows_calls_as_a_user_would_write_them() -> None:
    document = "from dataclasses import dataclass\n\n@dataclass\nclass Point:\n    x: int\n    y: int\n\n\n"
    context = at(f"{document}def distance(a: Point, b: Point) -> int:\n    |\n")
    inputs = RequestInputs(context, 16)
    inputs.make()
    assert inputs.probe_set is not None
    assert "distance(Point(2, 1), Point(1, 0))" in map(probe_text, inputs.probe_set.probes)
