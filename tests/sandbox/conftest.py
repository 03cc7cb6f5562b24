"""Open one sandbox per isolation tier of this host.

A test that takes `box` runs on each of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from sandbox.jailed.lockdown import landlock_abi
from sandbox.pool import Sandbox
from sandbox.tiers import TIER_2_LANDLOCK, namespaces


def _open(tier: int) -> Sandbox:
    """Open a sandbox, or skip where the host lacks a feature.

    A jail that does not isolate must fail the test instead.
    """
    if shutil.which("bwrap") is None or (tier == 1 and namespaces()):
        pytest.skip("bubblewrap cannot build a jail on this host: see `ucoder sandbox doctor`")
    if tier == 2 and landlock_abi() < TIER_2_LANDLOCK:
        pytest.skip(f"tier 2 needs Landlock {TIER_2_LANDLOCK}, this kernel has {landlock_abi()}")
    return Sandbox(2, force_tier=tier)


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
