"""One sandbox for each isolation tier this host offers; a test that takes `box` runs on every one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.errors import SandboxUnavailable
from sandbox.jail import WARM
from sandbox.pool import Sandbox


def _open(tier: int) -> Sandbox:
    try:
        # asyncio is warm because in tier 2 root's own interpreter may be out of the jail user's reach.
        return Sandbox(2, force_tier=tier, warm=(*WARM, "asyncio"))
    except SandboxUnavailable as error:
        pytest.skip(f"this host does not offer tier {tier}: {error}")


@pytest.fixture(scope="session")
def tier_1() -> Iterator[Sandbox]:
    with _open(1) as box:
        yield box


@pytest.fixture(scope="session")
def tier_2() -> Iterator[Sandbox]:
    with _open(2) as box:
        yield box


@pytest.fixture(params=[1, 2])
def box(request: pytest.FixtureRequest) -> Sandbox:
    sandbox: Sandbox = request.getfixturevalue(f"tier_{request.param}")
    return sandbox
