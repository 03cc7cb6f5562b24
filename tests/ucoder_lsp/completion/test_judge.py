"""Behaviour decides: real candidates in the real sandbox, and what happens when it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.errors import SandboxError
from sandbox.inputs import propose
from sandbox.pool import Sandbox
from tests.support.cursor import at
from ucoder_lsp.completion.document_slice import prepare, stub
from ucoder_lsp.completion.judge import Judgement, judge

CONTEXT = at('def largest(items: list[int]) -> int:\n    """Return the largest item."""\n    |\n')


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


async def judged(sandbox: Sandbox, *bodies: str) -> Judgement:
    return await judge(
        [prepare(body, CONTEXT) for body in bodies],
        [-0.5] * len(bodies),
        inputs=propose(stub(CONTEXT), "largest", budget=16),
        sandbox=sandbox,
        rule=RULES[DEFAULT_RULE],
    )


async def test_the_behaviour_of_most_wins_over_the_text_of_most(sandbox: Sandbox) -> None:
    judgement = await judged(
        sandbox,
        "return items[0]",
        "return items[0]",
        "return max(items)",
        "return sorted(items)[-1]",
        "best = items[0]\n    for item in items:\n        if item > best:\n            best = item\n    return best",
    )
    assert judgement.decision.winner in (2, 3, 4)
    assert set(judgement.decision.clusters[0].members) == {2, 3, 4}
    assert len(judgement.probes) == 16


async def test_equal_programs_run_once_and_vote_each(sandbox: Sandbox) -> None:
    judgement = await judged(sandbox, "return max(items)", "return max(items)", "return min(items)")
    assert judgement.results[0] is judgement.results[1]
    assert set(judgement.decision.clusters[0].members) == {0, 1}


async def test_candidates_that_only_hang_or_crash_are_an_abstention(sandbox: Sandbox) -> None:
    judgement = await judged(sandbox, "return undefined_name", "raise SystemExit", "return [][0]")
    assert judgement.decision.winner is None
    assert judgement.decision.reason


async def test_a_sandbox_that_fails_is_an_abstention_and_not_an_error(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise SandboxError("the jail is gone")

    monkeypatch.setattr(sandbox, "arun", broken)
    judgement = await judged(sandbox, "return max(items)")
    assert judgement.decision.winner is None
    assert "the jail is gone" in judgement.decision.reason
