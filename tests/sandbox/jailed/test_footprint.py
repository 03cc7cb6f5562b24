"""Test that forking stays cheap: huge pages, and few pages per candidate."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.pool import Sandbox
from sandbox.program import Call, Expression
from tests.sandbox.helpers import answers

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ROOT = Path(__file__).parents[3]
SHOW = """
import sys
sys.path.insert(0, {root!r})
from sandbox.jailed import footprint
footprint.make_room()
import dataclasses, datetime, json, random, typing
kept = [str(i) for i in range(30_000)]
footprint.fill_holes()
{then}
print(open("/proc/self/smaps").read())
assert kept == [str(i) for i in range(30_000)]
"""


def _huge_kib(then: str) -> int:
    source = SHOW.format(root=str(ROOT), then=then)
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-c", source], capture_output=True, text=True, check=True
    )
    return sum(map(int, re.findall(r"^AnonHugePages:\s+(\d+)", done.stdout, re.M)))


@pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[never]" in HUGE_PAGES.read_text(), reason="this kernel gives no huge pages"
)
def test_both_allocators_end_up_in_huge_pages() -> None:
    before, after = _huge_kib(""), _huge_kib("footprint.collapse()")
    assert after - before >= 3 * 2048, f"{before} KiB in huge pages before, {after} after"


def test_without_huge_pages_nothing_is_lost() -> None:
    refused = "footprint.MADV_COLLAPSE = 9999\nfootprint.collapse()"
    assert _huge_kib(refused) >= 0


def test_a_candidate_costs_few_pages(tier_1: Sandbox) -> None:
    """Count the pages that a fresh process touches.

    They were 390 to 470 before the zygote prepared them, and are 197 to 274 now.
    """
    faults = Expression("__import__('resource').getrusage(0).ru_minflt")
    counted = [answers(tier_1, f"# {n}\ndef f(x): return x", Call("f", (1,)), faults)[1] for n in range(20)]
    assert sorted(counted)[10] < 330  # type: ignore[type-var, operator]
