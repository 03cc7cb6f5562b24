"""Check after each test that the sandbox has survived the hostile program.

Each test is named after the promise that it checks. Afterwards the zygote is the same process and still answers,
nothing is left running, and the canary file outside is unchanged. The tests run on every tier of this host.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from sandbox.values import Value
from tests.sandbox.hostile.attack import QUICK


@pytest.fixture(autouse=True)
def _healthy_afterwards(box: Sandbox, tmp_path: Path) -> Iterator[None]:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    canary.chmod(0o666)
    tmp_path.chmod(0o777)
    before = box.zygotes()
    yield
    good = box.run_one(Job(Program("def f(x): return x + 1"), (Call("f", (41,)),), QUICK))
    assert good.outcomes[0].value == Value.of(42)
    assert box.zygotes() == before, "a zygote died of a candidate"
    assert canary.read_text() == "alive"
    deadline = time.monotonic() + 5
    while (left := box.busy()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == 0, "candidates are still running"
