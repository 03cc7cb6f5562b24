"""Measure what the gate costs, by step and as a whole.

    python benchmarks/gate.py            # about 2 minutes on 2 cores
    python benchmarks/gate.py --json

The steps are trees, a run of the tests, and the comparison of behaviour. The project is generated: one package of 300
modules with one function each, 30 tests, and five patches that rewrite one function in different ways. Times are
medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ci.behaviour.bundle import Tree
from ci.behaviour.compare import compare_behaviour
from ci.behaviour.plan import plan_comparison
from ci.gate import Request, run_gate
from ci.patch.parse import parse_patch
from ci.patch.worktrees import Worktrees
from ci.testing.runner import TestRunner
from sandbox.pool import Sandbox

N_MODULES, N_TESTS = 300, 30
MODULE = '''\
"""Module {n}."""


def work_{n}(values: list[int], start: int = 0) -> int:
    """The sum of the values, and start.

    >>> work_{n}([1, 2], 3)
    6
    """
    result = start
    for value in values:
        result += value
    return result
'''
OLD = "    result = start\n    for value in values:\n        result += value\n    return result\n"
NEW = (
    "    return start + sum(values)\n",
    "    return sum(values, start)\n",
    "    return sum([start, *values])\n",
    "    import functools\n    return functools.reduce(lambda a, b: a + b, values, start)\n",
    "    result = start\n    while values:\n        result, values = result + values[0], values[1:]\n"
    "    return result\n",
)


def make_project(folder: Path) -> tuple[Path, list[tuple[str, bytes]]]:
    """Create the repository and its patches."""
    repository = folder / "project"
    package = repository / "shop"
    package.mkdir(parents=True)
    (repository / "tests").mkdir()
    (package / "__init__.py").write_text("")
    for n in range(N_MODULES):
        (package / f"m{n}.py").write_text(MODULE.format(n=n))
    for n in range(N_TESTS):
        test = f"from shop.m{n} import work_{n}\n\n\ndef test_{n}():\n    assert work_{n}([1, 2], 3) == 6\n"
        (repository / "tests" / f"test_m{n}.py").write_text(test)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "state")
    patches = []
    for number, body in enumerate(NEW):
        (package / "m0.py").write_text(MODULE.format(n=0).replace(OLD, body))
        patches.append((f"{number}.patch", git(repository, "diff").encode()))
        git(repository, "checkout", "-q", ".")
    return repository, patches


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout


def timed(times: int, action: Callable[[int], object]) -> float:
    """Return the median seconds of `action(turn)`."""
    taken = []
    for turn in range(times):
        started = time.perf_counter()
        action(turn)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(folder: Path) -> dict[str, float]:
    repository, patches = make_project(folder)
    read = [parse_patch(name, data) for name, data in patches]
    found: dict[str, float] = {}
    with Worktrees(repository, "main") as trees:
        found["tree of base, ms"] = 1e3 * timed(15, lambda n: trees.plain(f"base-{n}"))
        found["tree with a patch, ms"] = 1e3 * timed(15, lambda n: trees.patched(f"p-{n}", read[n % 5]))
        base = trees.plain("base")
        run = TestRunner()
        found["one run of the tests in the jail, s"] = timed(5, lambda n: run(base, n % 2))
        plain = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        found["the same tests outside any jail, s"] = timed(
            5, lambda n: subprocess.run(plain, cwd=base, check=True, capture_output=True)
        )
        modules = {n: Tree.read(trees.patched(f"c-{n}", patch)) for n, patch in enumerate(read)}
        paths = {n: patch.paths for n, patch in enumerate(read)}
        tree = Tree.read(base)
        started = time.perf_counter()
        with Sandbox(lowest_tier=1, hash_seed=0) as one, Sandbox(lowest_tier=1, hash_seed=1) as two:
            found["two sandboxes started and proven, s"] = time.perf_counter() - started
            plan = plan_comparison(tree, modules, paths, with_new=True)
            runners = [one.run, two.run]
            found["behaviour of five patches compared, s"] = timed(
                3, lambda n: compare_behaviour(plan, tree, modules, (), runners)
            )
    for count in (1, 5):
        request = Request(repository, "main", tuple(patches[:count]))
        found[f"the whole gate, {count} patches, s"] = timed(3, lambda n: run_gate(request))  # noqa: B023
    few, many = found["the whole gate, 1 patches, s"], found["the whole gate, 5 patches, s"]
    found["each further patch, s"] = (many - few) / 4
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    if as_json:
        print(json.dumps(found))
        return
    print(f"{N_MODULES} modules, {N_TESTS} tests, medians")
    for what, value in found.items():
        print(f"{what:45} {value:8.2f}")


if __name__ == "__main__":
    main()
