"""The gate from patches to verdict, in the order of the evidence: each step is one call below.

Git, the sandbox and the clock are here; every judgement is a pure function in `ledger` and `verdict`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ci import verdict
from ci.behaviour import compare as behaviour
from ci.behaviour.bundle import Tree
from ci.behaviour.compare import Comparison
from ci.behaviour.forms import DOCUMENTATION, form_of
from ci.errors import UnavailableError, UsageError
from ci.patch import parse as patches
from ci.patch import shadows
from ci.patch.parse import Patch, PatchRefused
from ci.patch.worktrees import Worktrees, host_failures, top_level
from ci.testing import test_reports as ledger
from ci.testing.runner import TestRun, TestRunner, check_base, sandbox_failures
from ci.testing.test_reports import Expected
from ci.verdict import Candidate, Intent, Standing, Thresholds, Verdict
from sandbox.pool import Sandbox

HASH_SEEDS = (0, 1)


@dataclass(frozen=True, slots=True)
class Request:
    """What the gate is asked: patches (name and bytes) against one commit of one repository."""

    repository: Path
    base: str
    patches: tuple[tuple[str, bytes], ...]
    tests: tuple[str, ...] = ()
    """pytest arguments that choose the tests (paths, node ids); none: whatever the project's settings say."""
    reproduce: tuple[tuple[str, bytes], ...] = ()
    """Test files (path in the tree, content) that fail on base and must pass with the patch."""
    protect: tuple[str, ...] = ()
    python: str | None = None
    timeout_s: float = 600.0
    intent: Intent = Intent.CHANGE
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(slots=True)
class Examined:
    """One patch and everything learnt about it, filled in from step to step."""

    name: str
    sha256: str
    patch: Patch | None = None
    standing: Standing = Standing.PLAUSIBLE
    reason: str = ""
    form: str = ""
    protected: tuple[str, ...] = ()
    tree: Path | None = None
    modules: Tree | None = None
    tests: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    wall_s: float = 0.0

    def stand(self, standing: Standing, reason: str) -> None:
        self.standing, self.reason = standing, reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole result of one run, for the reports."""

    request: Request
    commit: str
    verdict: Verdict
    examined: tuple[Examined, ...]
    expected: Expected
    comparison: Comparison | None
    tier: int
    wall_s: float
    host: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")


def run(request: Request, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Judge the patches of `request`; `tell` gets one line a step. Raises `GateError` when it cannot."""
    started = time.monotonic()
    if not request.patches:
        raise UsageError("there is no patch to judge: give at least one with --patch FILE")
    with ExitStack() as stack:
        stack.enter_context(host_failures())
        stack.enter_context(sandbox_failures())
        trees = stack.enter_context(Worktrees(request.repository, request.base))

        # 1. Read the patches, before anything else is done with them.
        examined = [_parse(name, data) for name, data in request.patches]
        base_tree = trees.plain("base")
        _overlay(base_tree, request.reproduce)
        base = Tree.read(base_tree)
        _apply(trees, request, base, examined)

        # 2. Base, twice: which tests count, and which do not know what they want. Before anything runs, the
        # start-up probe has to show that jails hold on this host.
        boxes = [
            stack.enter_context(Sandbox(interpreter=request.python, lowest_tier=1, hash_seed=seed))
            for seed in HASH_SEEDS
        ]
        tell(f"base {trees.commit[:12]}: running its tests twice")
        tests = TestRunner(request.python, request.tests, request.timeout_s)
        expected = _expected(tests, base_tree, request)
        tell(f"{len(expected.outcomes)} tests expected, {len(expected.flaky)} flaky")

        # 3 and 4. Every patch through those tests; the reproduction tests are among them.
        for one in examined:
            if one.tree is not None:
                _run_tests(one, tests, expected)
            tell(f"{one.name}: {one.standing}{': ' + one.reason if one.reason else ''}")

        # 5. What the changed functions do, compared out here.
        comparison = _compare(request, base, examined, boxes, tell)

    # 6 and 7. Vote, or abstain.
    decided = _decide(request, examined, comparison)
    tier = max(box.tier for box in boxes)
    wall_s = time.monotonic() - started
    return Outcome(request, trees.commit, decided, tuple(examined), expected, comparison, tier, wall_s)


def _parse(name: str, data: bytes) -> Examined:
    try:
        patch = patches.parse(name, data)
    except PatchRefused as refused:
        digest = Patch(name, data, ()).sha256
        return Examined(name, digest, None, Standing.REFUSED, str(refused))
    return Examined(name, patch.sha256, patch)


def _apply(trees: Worktrees, request: Request, base: Tree, examined: Sequence[Examined]) -> None:
    """A tree for every patch that parsed, protected files as in base; what goes to a person is marked."""
    judges = (*request.protect, *(f"/{path}" for path, _ in request.reproduce))
    taken = shadows.installed(request.python, top_level(request.repository))
    for number, one in enumerate(examined):
        if one.patch is None:
            continue
        hiding = shadows.shadowing(one.patch.changes, base, taken)
        one.protected = tuple(dict.fromkeys((*patches.protected(one.patch.paths, judges), *hiding)))
        try:
            one.tree = trees.patched(f"patch-{number}", one.patch, keep_base=one.protected)
        except PatchRefused as refused:
            one.stand(Standing.REFUSED, str(refused))
            continue
        _overlay(one.tree, request.reproduce)
        one.modules = Tree.read(one.tree)
        one.form = form_of({path: _text(one.tree / path) for path in one.patch.paths})
        unprobed = [p for p in one.patch.paths if not p.endswith((".py", *DOCUMENTATION))]
        if one.protected:
            one.stand(Standing.NEEDS_PERSON, f"edits protected paths ({', '.join(one.protected[:3])})")
        elif unprobed:
            one.stand(Standing.NEEDS_PERSON, f"changes files whose effect no probe shows ({unprobed[0]})")
        if set(one.patch.paths) <= set(one.protected):
            one.tree = None  # nothing of it is left to run


def _expected(tests: TestRunner, tree: Path, request: Request) -> Expected:
    runs: list[TestRun] = []
    for hash_seed in HASH_SEEDS:
        runs.append(tests(tree, hash_seed))
        check_base(runs[-1], request.python)
    first, second = runs
    expected = ledger.expect(first.reports, second.reports, (first.canaries, second.canaries))
    files = tuple(path for path, _ in request.reproduce)
    if not expected.outcomes:
        raise UsageError(
            "no test gave the same outcome twice on the base commit: name stable tests with --tests"
        )
    broken = sorted(test for test in expected.failing if not test.startswith(tuple(f"{f}::" for f in files)))
    if broken:
        raise UsageError(
            f"{len(broken)} tests fail on the base commit, first {broken[0]}: mend them or mark them xfail, "
            "leave them out with --tests, or name their file with --reproduce if the patches shall mend them"
        )
    for path in files:
        if not any(test.startswith(f"{path}::") for test in expected.failing):
            raise UsageError(
                f"{path} reproduces nothing: none of its tests was collected and failed on the base commit, so "
                "give a test file that pytest finds and that shows the fault"
            )
    return expected


def _run_tests(one: Examined, tests: TestRunner, expected: Expected) -> None:
    assert one.tree is not None, "only patches with a tree are run"
    try:
        run = tests(one.tree, HASH_SEEDS[0])
    except UnavailableError as error:
        one.stand(Standing.INFRA, str(error))
        return
    judged = ledger.judge(expected, run.reports, run.canaries, run.ended)
    one.tests, one.texts, one.wall_s = judged.tests, run.reports.texts, run.wall_s
    if judged.standing is Standing.TAMPERING or one.standing is Standing.PLAUSIBLE:
        one.stand(judged.standing, judged.reason)


def _compare(
    request: Request,
    base: Tree,
    examined: Sequence[Examined],
    boxes: Sequence[Sandbox],
    tell: Callable[[str], None],
) -> Comparison | None:
    """Behaviour of the plausible patches; None where there is none, or the run ends anyway."""
    stopped = any(one.standing in (Standing.TAMPERING, Standing.INFRA) for one in examined)
    plausible = {
        i: one.modules
        for i, one in enumerate(examined)
        if one.standing is Standing.PLAUSIBLE and one.modules is not None
    }
    if stopped or not plausible:
        return None
    paths = {i: one.patch.paths for i, one in enumerate(examined) if i in plausible and one.patch is not None}
    planned = behaviour.plan(base, plausible, paths, with_new=request.intent is Intent.CHANGE)
    tell(f"comparing {len(planned.targets)} functions of {len(plausible)} patches with base")
    texts = [text for path, text in base.modules.values() if patches.protected((path,))]
    compared = behaviour.compare(planned, base, plausible, texts, [box.run for box in boxes])
    if compared.infra:
        raise UnavailableError(f"the sandbox failed while behaviour was compared: {compared.infra}")
    for i, what in compared.forged.items():
        examined[i].stand(Standing.TAMPERING, what)
    return compared


def _decide(request: Request, examined: Sequence[Examined], comparison: Comparison | None) -> Verdict:
    seen = comparison.patches if comparison else {}
    candidates = [
        Candidate(
            name=one.name,
            standing=one.standing,
            reason=one.reason,
            form=one.form,
            size=one.patch.size if one.patch else 0,
            behaviour=seen.get(i, ()),
        )
        for i, one in enumerate(examined)
    ]
    base = comparison.base if comparison else ()
    gaps = comparison.gaps if comparison else ()
    return verdict.decide(candidates, base, intent=request.intent, gaps=gaps, thresholds=request.thresholds)


def _overlay(tree: Path, files: Sequence[tuple[str, bytes]]) -> None:
    for path, content in files:
        target = tree / path
        if not target.resolve().is_relative_to(tree.resolve()):
            raise UsageError(
                f"{path} does not lie inside the repository: give a file below it with --reproduce"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _text(path: Path) -> str | None:
    """Text of a file of a tree that nothing has run in yet; None where the patch deletes it."""
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="surrogateescape")
