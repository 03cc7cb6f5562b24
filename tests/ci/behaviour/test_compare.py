"""Compare programs in real sandboxes under two hash seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ci.behaviour.bundle import Tree
from ci.behaviour.compare import Comparison, Runner, compare_behaviour
from ci.behaviour.plan import plan_comparison
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.pool import Sandbox
from sandbox.program import Job

SOURCE = '''\
def _twice(n: int) -> int:
    return n * 2


def double(n: int) -> int:
    """Twice n.

    >>> double(4)
    8
    """
    return _twice(n)


def words(text: str) -> list[str]:
    return list(set(text.split()))


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.count = start

    def add(self, n: int) -> int:
        self.count += n
        return self.count
'''


@pytest.fixture(scope="module")
def runners() -> Iterator[list[Runner]]:
    with (
        Sandbox(workers=1, lowest_tier=1, hash_seed=0) as one,
        Sandbox(workers=1, lowest_tier=1, hash_seed=1) as two,
    ):
        yield [one.run, two.run]


def tree(source: str) -> Tree:
    return Tree({"m": ("m.py", source)})


def comparison_of(
    runners: list[Runner], *changes: tuple[str, str], tests: str = "", new: bool = True
) -> Comparison:
    """Compare patches that each replace one text of SOURCE."""
    patched = {}
    for i, (old, text) in enumerate(changes):
        assert old in SOURCE
        patched[i] = tree(SOURCE.replace(old, text))
    planned = plan_comparison(tree(SOURCE), patched, dict.fromkeys(patched, ("m.py",)), with_new=new)
    return compare_behaviour(planned, tree(SOURCE), patched, [tests], runners)


def agrees(found: Comparison, number: int) -> bool:
    return all(a.agrees(b) for a, b in zip(found.patches[number], found.base, strict=True))


def test_a_private_helper_shows_through_its_users(runners: list[Runner]) -> None:
    found = comparison_of(runners, ("n * 2", "n + n"), ("n * 2", "n * 3"), ("_twice", "_renamed"))
    assert all(text.startswith("m: double(") for text in found.inputs)
    assert (agrees(found, 0), agrees(found, 1), agrees(found, 2)) == (True, False, True)
    assert not found.gaps


def test_methods_are_compared_with_the_state_they_leave(runners: list[Runner]) -> None:
    found = comparison_of(
        runners, ("self.count += n", "self.count = n + self.count"), ("self.count += n", "n += self.count")
    )
    assert any("Counter(" in text for text in found.inputs)
    assert (agrees(found, 0), agrees(found, 1)) == (True, False)


def test_inputs_on_which_base_is_not_stable_are_dropped(runners: list[Runner]) -> None:
    """The order of a set of words depends on the hash seed."""
    found = comparison_of(
        runners, ("list(set(text.split()))", "sorted(set(text.split()))"), tests="assert words('a b c')"
    )
    assert found.dropped > 0
    assert not any("words('a b c')" in text for text in found.inputs)


def test_a_patch_that_is_not_stable_agrees_with_nothing(runners: list[Runner]) -> None:
    found = comparison_of(runners, ("return _twice(n)", "return _twice(n) + hash('x') % 97"))
    assert not any(seen.comparable for seen in found.patches[0] if seen.status == "unstable")
    assert any(seen.status == "unstable" for seen in found.patches[0])


def test_asserts_of_the_tests_are_inputs(runners: list[Runner]) -> None:
    found = comparison_of(
        runners, ("n * 2", "n + n"), tests="def test():\n    assert double(31337) == 62674\n"
    )
    assert "m: double(31337)" in found.inputs


def test_new_functions_are_voted_on_only_where_behaviour_may_change(runners: list[Runner]) -> None:
    new = ("def double", "def triple(n: int) -> int:\n    return n * 3\n\n\ndef double")
    assert any("triple" in text for text in comparison_of(runners, new, new).inputs)
    assert not comparison_of(runners, new, new, new=False).inputs


def test_more_inputs_are_made_near_a_difference(runners: list[Runner]) -> None:
    found = comparison_of(runners, ("return n * 2", "return n * 2 if n < 11 else 0"))
    differing = [j for j, seen in enumerate(found.patches[0]) if not seen.agrees(found.base[j])]
    assert len(differing) >= 8


def test_a_public_function_must_be_reached_itself(runners: list[Runner]) -> None:
    """`size` calls a `get` as well, but of a dict."""
    source = (
        "def get(stream, key):\n    return stream.fetch(key) + 1\n\n\n"
        "def size(options: dict[str, int]) -> int:\n    return options.get('a', 0)\n\n\n"
        "def first(stream, n: int = 0) -> int:\n    return get(stream, 'a') if stream else n\n"
    )
    base, patched = tree(source), {0: tree(source.replace("+ 1", "+ 2"))}
    planned = plan_comparison(base, patched, {0: ("m.py",)}, with_new=False)
    assert planned.shown_by == {"m.get": {"m.get"}}
    assert compare_behaviour(planned, base, patched, [], runners).gaps == ("m.get",)


def test_a_renamed_parameter_is_seen(runners: list[Runner]) -> None:
    found = comparison_of(runners, ("def double(n: int)", "def double(number: int, n: int = 0)"))
    assert not agrees(found, 0)
    found = comparison_of(runners, ("return _twice(n)", "return _twice(n) + 0"))
    assert "m: double(n=4)" in found.inputs
    assert agrees(found, 0)


def test_a_sandbox_failure_is_reported(runners: list[Runner]) -> None:
    """A runner that fails as the sandbox does, under one seed."""

    def broken(jobs: list[Job]) -> list[JobResult]:
        failed = Outcome(Status.INFRA, message="no more memory on this host")
        return [JobResult(failed, (failed,) * len(job.probes), 1) for job in jobs]

    patched = {0: tree(SOURCE.replace("n * 2", "n + n"))}
    planned = plan_comparison(tree(SOURCE), patched, {0: ("m.py",)}, with_new=True)
    found = compare_behaviour(planned, tree(SOURCE), patched, [], [runners[0], broken])  # type: ignore[list-item]
    assert "no more memory" in found.infra


def test_code_that_does_not_load_in_the_sandbox_is_a_gap(runners: list[Runner]) -> None:
    source = "import not_installed_anywhere\n\n\ndef f(n: int) -> int:\n    return n\n"
    base, patched = tree(source), {0: tree(source.replace("return n", "return n + 0"))}
    planned = plan_comparison(base, patched, {0: ("m.py",)}, with_new=True)
    found = compare_behaviour(planned, base, patched, [], runners)
    assert found.gaps == ("m.f",)
