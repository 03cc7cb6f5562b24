"""Run the gate from patches to verdict, one call per step.

Git, the sandbox and the clock are used here; every decision is a pure function in `ci.testing.results`,
`ci.behaviour.plan` or `ci.verdict`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ci.behaviour.bundle import Tree
from ci.behaviour.compare import Comparison, compare_behaviour
from ci.behaviour.forms import DOCUMENTATION, form_of
from ci.behaviour.plan import plan_comparison
from ci.errors import UnavailableError, UsageError
from ci.patch.parse import Patch, PatchRefused, parse_patch, protected_paths
from ci.patch.shadows import installed_names, shadowing_files
from ci.patch.worktrees import Worktrees, host_failures, top_level
from ci.testing.results import Expected, assess_run, expected_outcomes
from ci.testing.runner import TestRun, TestRunner, check_base, sandbox_failures
from ci.verdict import CandidatePatch, Intent, Standing, Thresholds, Verdict, decide_verdict
from sandbox.pool import Sandbox

HASH_SEEDS = (0, 1)


@dataclass(frozen=True, slots=True)
class Request:
    """The input of one run: patches against one commit of a repository."""

    repository: Path
    base: str
    patches: tuple[tuple[str, bytes], ...]
    tests: tuple[str, ...] = ()
    """pytest arguments that choose the tests (paths, node ids). Empty: the project's settings choose."""
    reproduce: tuple[tuple[str, bytes], ...] = ()
    """Test files (path in the tree, content) that fail on base and must pass with the patch."""
    protect: tuple[str, ...] = ()
    """Further patterns of protected paths, in the syntax of .gitignore."""
    python: str | None = None
    """Path, command or virtual environment that runs the tests. None: the interpreter of the gate."""
    timeout_s: float = 600.0
    """Time limit of one test run."""
    intent: Intent = Intent.CHANGE
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(slots=True)
class ExaminedPatch:
    """One patch and its findings; every step fills in its part."""

    name: str
    sha256: str
    patch: Patch | None = None
    standing: Standing = Standing.PLAUSIBLE
    reason: str = ""
    form: str = ""
    protected: tuple[str, ...] = ()
    tree: Path | None = None
    """Its tree, if there is something of it to run."""
    modules: Tree | None = None
    tests: Mapping[str, str] = field(default_factory=dict)
    """Outcome of each test, by id."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """pytest's message for each test that did not pass, by id."""
    wall_s: float = 0.0
    """Duration of its test run."""

    def set_standing(self, standing: Standing, reason: str) -> None:
        self.standing, self.reason = standing, reason


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of one run, for the reports."""

    request: Request
    commit: str
    verdict: Verdict
    examined: tuple[ExaminedPatch, ...]
    expected: Expected
    comparison: Comparison | None
    tier: int
    wall_s: float
    host: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")


def run_gate(request: Request, progress: Callable[[str], None] = lambda line: None) -> GateResult:
    """Judge the patches of `request`. Raises `GateError`.

    `progress` receives one line per step.
    """
    started = time.monotonic()
    if not request.patches:
        raise UsageError("there is no patch to judge: give at least one with --patch FILE")
    with ExitStack() as stack:
        stack.enter_context(host_failures())
        stack.enter_context(sandbox_failures())
        trees = stack.enter_context(Worktrees(request.repository, request.base))

        # 1. Parse the patches before anything else is done with them.
        examined = [_parse(name, data) for name, data in request.patches]
        base_tree = trees.plain("base")
        _overlay(base_tree, request.reproduce)
        base = Tree.read(base_tree)
        _apply(trees, request, base, examined)

        # 2. Run the tests of base twice: which are expected, and which are flaky? Before anything runs, the
        # start-up probe has to prove that jails hold on this host.
        boxes = [
            stack.enter_context(Sandbox(interpreter=request.python, lowest_tier=1, hash_seed=seed))
            for seed in HASH_SEEDS
        ]
        progress(f"base {trees.commit[:12]}: running its tests twice")
        tests = TestRunner(request.python, request.tests, request.timeout_s)
        expected = _expected(tests, base_tree, request)
        progress(f"{len(expected.outcomes)} tests expected, {len(expected.flaky)} flaky")

        # 3 and 4. Run those tests with every patch; the reproduction tests are among them.
        for one in examined:
            if one.tree is not None:
                _run_tests(one, tests, expected)
            progress(f"{one.name}: {one.standing}{': ' + one.reason if one.reason else ''}")

        # 5. Compare what the changed functions do, outside the sandbox.
        comparison = _compare(request, base, examined, boxes, progress)

    # 6 and 7. Vote, or abstain.
    decided = _decide(request, examined, comparison)
    tier = max(box.tier for box in boxes)
    wall_s = time.monotonic() - started
    return GateResult(request, trees.commit, decided, tuple(examined), expected, comparison, tier, wall_s)


def _parse(name: str, data: bytes) -> ExaminedPatch:
    try:
        patch = parse_patch(name, data)
    except PatchRefused as refused:
        digest = Patch(name, data, ()).sha256
        return ExaminedPatch(name, digest, None, Standing.REFUSED, str(refused))
    return ExaminedPatch(name, patch.sha256, patch)


def _apply(trees: Worktrees, request: Request, base: Tree, examined: Sequence[ExaminedPatch]) -> None:
    """Make a tree for every parsed patch; mark what needs human review.

    Protected files stay as in base.
    """
    protect = (*request.protect, *(f"/{path}" for path, _ in request.reproduce))
    installed = installed_names(request.python, top_level(request.repository))
    for number, one in enumerate(examined):
        if one.patch is None:
            continue
        shadowing = shadowing_files(one.patch.changes, base, installed)
        one.protected = tuple(dict.fromkeys((*protected_paths(one.patch.paths, protect), *shadowing)))
        try:
            one.tree = trees.patched(f"patch-{number}", one.patch, keep_base=one.protected)
        except PatchRefused as refused:
            one.set_standing(Standing.REFUSED, str(refused))
            continue
        _overlay(one.tree, request.reproduce)
        one.modules = Tree.read(one.tree)
        one.form = form_of({path: _text(one.tree / path) for path in one.patch.paths})
        unprobed = [p for p in one.patch.paths if not p.endswith((".py", *DOCUMENTATION))]
        if one.protected:
            one.set_standing(Standing.NEEDS_REVIEW, f"edits protected paths ({', '.join(one.protected[:3])})")
        elif unprobed:
            one.set_standing(
                Standing.NEEDS_REVIEW, f"changes files whose effect no probe shows ({unprobed[0]})"
            )
        if set(one.patch.paths) <= set(one.protected):
            one.tree = None  # nothing of it is left to run


def _expected(tests: TestRunner, tree: Path, request: Request) -> Expected:
    """Run the tests of base twice.

    Raises `UsageError` where they cannot judge a patch.
    """
    runs: list[TestRun] = []
    for hash_seed in HASH_SEEDS:
        runs.append(tests(tree, hash_seed))
        check_base(runs[-1], request.python)
    first, second = runs
    expected = expected_outcomes(first.reports, second.reports, (first.canaries, second.canaries))
    files = tuple(path for path, _ in request.reproduce)
    if not expected.outcomes:
        raise UsageError(
            "no test gave the same outcome twice on the base commit: name stable tests with --tests"
        )
    broken = sorted(test for test in expected.failing if not test.startswith(tuple(f"{f}::" for f in files)))
    if broken:
        raise UsageError(
            f"{len(broken)} tests fail on the base commit, first {broken[0]}: fix them or mark them xfail, "
            "leave them out with --tests, or name their file with --reproduce if the patches shall fix them"
        )
    for path in files:
        if not any(test.startswith(f"{path}::") for test in expected.failing):
            raise UsageError(
                f"{path} reproduces nothing: none of its tests was collected and failed on the base commit, so "
                "give a test file that pytest finds and that shows the fault"
            )
    return expected


def _run_tests(one: ExaminedPatch, tests: TestRunner, expected: Expected) -> None:
    assert one.tree is not None, "only patches with a tree are run"
    try:
        run = tests(one.tree, HASH_SEEDS[0])
    except UnavailableError as error:
        one.set_standing(Standing.INFRA, str(error))
        return
    assessed = assess_run(expected, run.reports, run.canaries, run.ended)
    one.tests, one.texts, one.wall_s = assessed.tests, run.reports.texts, run.wall_s
    if assessed.standing is Standing.TAMPERING or one.standing is Standing.PLAUSIBLE:
        one.set_standing(assessed.standing, assessed.reason)


def _compare(
    request: Request,
    base: Tree,
    examined: Sequence[ExaminedPatch],
    boxes: Sequence[Sandbox],
    progress: Callable[[str], None],
) -> Comparison | None:
    """Compare the plausible patches.

    Returns None where there is none, or where the run ends anyway.
    """
    stopped = any(one.standing in (Standing.TAMPERING, Standing.INFRA) for one in examined)
    plausible = {
        i: one.modules
        for i, one in enumerate(examined)
        if one.standing is Standing.PLAUSIBLE and one.modules is not None
    }
    if stopped or not plausible:
        return None
    paths = {i: one.patch.paths for i, one in enumerate(examined) if i in plausible and one.patch is not None}
    planned = plan_comparison(base, plausible, paths, with_new=request.intent is Intent.CHANGE)
    progress(f"comparing {len(planned.functions)} functions of {len(plausible)} patches with base")
    texts = [text for path, text in base.modules.values() if protected_paths((path,))]
    compared = compare_behaviour(planned, base, plausible, texts, [box.run for box in boxes])
    if compared.infra:
        raise UnavailableError(f"the sandbox failed while behaviour was compared: {compared.infra}")
    for i, what in compared.forged.items():
        examined[i].set_standing(Standing.TAMPERING, what)
    return compared


def _decide(request: Request, examined: Sequence[ExaminedPatch], comparison: Comparison | None) -> Verdict:
    seen = comparison.patches if comparison else {}
    candidates = [
        CandidatePatch(
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
    return decide_verdict(candidates, base, intent=request.intent, gaps=gaps, thresholds=request.thresholds)


def _overlay(tree: Path, files: Sequence[tuple[str, bytes]]) -> None:
    """Write the reproduction tests into a tree."""
    for path, content in files:
        target = tree / path
        if not target.resolve().is_relative_to(tree.resolve()):
            raise UsageError(
                f"{path} does not lie inside the repository: give a file below it with --reproduce"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _text(path: Path) -> str | None:
    """Read a changed file; None where the patch deletes it.

    Nothing has run in the tree yet.
    """
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="surrogateescape")
