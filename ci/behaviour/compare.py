"""What the changed functions do on the same inputs, in base and in every patch, compared outside the process.

This is the check that a patch cannot talk its way around: the functions run in the sandbox, their values come
out as canonical data, and nobody inside knows what they are compared with. Only inputs that base answers the
same in five runs under two hash seeds are used.

What is not covered: callers in other modules, effects on files or the network (the sandbox has neither), and
code that behaves well only while it is watched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ci.behaviour.bundle import BundleError, Tree, bundle, module_name
from ci.behaviour.changes import ModuleShape, is_public, shape, touched, users
from ci.verdict import Observation
from sandbox.consensus.signature import CRASH, OPAQUE
from sandbox.inputs import propose
from sandbox.inputs.refine import refine
from sandbox.inputs.target import find_target
from sandbox.limits import MIB, Limits
from sandbox.outcome import JobResult, Outcome, Status
from sandbox.program import Call, Job, Probe, Program, probe_text
from sandbox.program import Sequence as CallSequence

Runner = Callable[[Sequence[Job]], Sequence[JobResult]]

BASE_RUNS = 5
INPUTS_PER_FUNCTION = 48
DISTINGUISHING_PER_FUNCTION = 16
"""Further inputs, near those on which the programs differ: they split groups that agree by accident."""
MAX_FUNCTIONS = 40
PROBES_PER_JOB = 12
"""Few, because the sandbox gives up on a job after a handful of its probes have ended the process."""

LIMITS = Limits(probe_wall_s=2.0, job_wall_s=20.0, cpu_s=20, memory_bytes=1024 * MIB)
_OUTSIDE = ("TypeError", "AttributeError")
"""What base raises for an input that was never meant for it; how other programs fail there says nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A function to probe: where it is, and the text its inputs are read from."""

    module: str
    function: str
    source: str
    in_base: bool

    @property
    def name(self) -> str:
        return f"{self.module}.{self.function}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The functions to probe, and for each changed one the targets that would show its behaviour."""

    targets: tuple[Target, ...]
    shown_by: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Observations on the inputs that were kept. `patches[i]` has one for each input, as `base` has."""

    inputs: tuple[str, ...]
    base: tuple[Observation, ...]
    patches: Mapping[int, tuple[Observation, ...]]
    gaps: tuple[str, ...]
    """Changed functions that no kept input reached."""
    dropped: int
    """Inputs left out: base is not stable on them, or they are outside what the function is for."""
    forged: Mapping[int, str]
    """Patches that wrote to the sandbox's own result channel."""
    infra: str = ""
    """Set when the sandbox itself failed: then nothing above says anything about any patch."""


def plan(
    base: Tree, patched: Mapping[int, Tree], paths: Mapping[int, tuple[str, ...]], *, with_new: bool
) -> Plan:
    """What to probe, for the Python files that the patches (by number) change.

    `with_new`: also functions that base does not have; without it base is the only measure.
    """
    targets: dict[str, Target] = {}
    shown_by: dict[str, frozenset[str]] = {}
    for path in sorted({path for changed in paths.values() for path in changed if path.endswith(".py")}):
        changing = {i: tree for i, tree in patched.items() if path in paths[i]}
        module = module_name(path)
        if module is None or not _can_be_read(path, module, (base, *changing.values())):
            shown_by[path] = frozenset()
            continue
        after = {i: _shape_of(tree, module) for i, tree in changing.items()}
        before = _shape_of(base, module)
        _plan_known(module, base, before, after, targets, shown_by)
        if with_new:
            _plan_new(module, before, changing, after, targets, shown_by)
    if not with_new:
        for i, tree in patched.items():
            shown_by |= dict.fromkeys(_unused(base, tree, paths[i]), frozenset())
    kept = dict(list(targets.items())[:MAX_FUNCTIONS])
    return Plan(tuple(kept.values()), {name: shown & kept.keys() for name, shown in shown_by.items()})


def compare(
    plan: Plan,
    base: Tree,
    patched: Mapping[int, Tree],
    tests: Sequence[str],
    runners: Sequence[Runner],
) -> Comparison:
    """Run the plan in base and in every patch. `runners` run jobs under different hash seeds; at least one.

    `tests` are the texts of base's own tests: their asserts are examples of calls.
    """
    # 1. The same probes for everybody; after one look at them, more where the programs differ.
    asked = [(target, probe) for target in plan.targets for probe in _inputs(target, tests)]
    look = [_observe(asked, tree, runners[0]) for tree in (base, *patched.values())]
    asked += [(target, probe) for target in plan.targets for probe in _distinguishing(target, asked, look)]

    # 2. Base five times, every patch once under each hash seed.
    turns = [runners[turn % len(runners)] for turn in range(BASE_RUNS)]
    base_runs = [_observe(asked, base, run) for run in turns]
    patch_runs = {i: [_observe(asked, tree, run) for run in runners] for i, tree in patched.items()}
    everything = [*base_runs, *(run for runs in patch_runs.values() for run in runs)]
    broken = [seen for run in everything for seen in run if seen.status == Status.INFRA]
    forged = {
        i: "it wrote to the sandbox's result channel"
        for i, runs in patch_runs.items()
        if any(seen.status == Status.PROTOCOL for run in runs for seen in run)
    }

    # 3. Keep the inputs that say something.
    known = [_settle(column) for column in zip(*base_runs, strict=True)]
    seen = {i: [_settle(column) for column in zip(*runs, strict=True)] for i, runs in patch_runs.items()}
    keep = [
        j for j, (target, _) in enumerate(asked) if _says(target, known[j], [row[j] for row in seen.values()])
    ]
    reached = {
        asked[j][0].name for j in keep if _worked(known[j]) or any(_worked(r[j]) for r in seen.values())
    }
    return Comparison(
        inputs=tuple(f"{asked[j][0].module}: {probe_text(asked[j][1])}" for j in keep),
        base=tuple(known[j] for j in keep),
        patches={i: tuple(row[j] for j in keep) for i, row in seen.items()},
        gaps=tuple(name for name, shown in plan.shown_by.items() if not shown & reached),
        dropped=len(asked) - len(keep),
        forged=forged,
        infra=broken[0].shown if broken else "",
    )


def _shape_of(tree: Tree, module: str) -> ModuleShape | None:
    return shape(tree.modules[module][1]) if module in tree.modules else None


def _can_be_read(path: str, module: str, trees: Sequence[Tree]) -> bool:
    """Whether a file is what its name imports, and can be taken apart where base (the first) has it."""
    base = trees[0]
    in_base = module in base.modules
    return not any(path in tree.hidden for tree in trees) and (not in_base or bool(_shape_of(base, module)))


def _plan_known(
    module: str,
    base: Tree,
    before: ModuleShape | None,
    after: Mapping[int, ModuleShape | None],
    targets: dict[str, Target],
    shown_by: dict[str, frozenset[str]],
) -> None:
    """Functions of base that some patch changes, and those of the same module that use them."""
    if before is None:
        return
    source = base.modules[module][1]
    changed = frozenset[str]().union(*(touched(before, patch or ModuleShape()) for patch in after.values()))
    for function in sorted(changed):
        public = {name for name in users(before, [function]) if is_public(name)}
        # A private helper may be renamed or dissolved by an honest patch: it shows through its public users.
        # What is public must be reached itself, whoever else uses it.
        shown = {function} if is_public(function) else public or {function}
        shown_by[f"{module}.{function}"] = frozenset(f"{module}.{name}" for name in shown)
        for name in sorted(public | shown):
            targets[f"{module}.{name}"] = Target(module, name, source, in_base=True)


def _plan_new(
    module: str,
    before: ModuleShape | None,
    patched: Mapping[int, Tree],
    after: Mapping[int, ModuleShape | None],
    targets: dict[str, Target],
    shown_by: dict[str, frozenset[str]],
) -> None:
    """Public functions that at least half of the patches add: base cannot judge them, the patches vote."""
    known = set(before.functions) if before else set()
    added = sorted({name for found in after.values() if found for name in found.functions} - known)
    for function in filter(is_public, added):
        having = [i for i, found in after.items() if found and function in found.functions]
        if 2 * len(having) >= len(after):
            name = f"{module}.{function}"
            targets[name] = Target(module, function, patched[having[0]].modules[module][1], in_base=False)
            shown_by[name] = frozenset({name})


def _unused(base: Tree, patched: Tree, paths: Sequence[str]) -> list[str]:
    """Public functions that a patch adds and nothing that it changes mentions.

    What a refactoring extracts shows through the functions that now use it; of these nothing would be seen.
    """
    modules = [name for path in paths if path.endswith(".py") and (name := module_name(path)) is not None]
    after = {name: found for name in modules if (found := _shape_of(patched, name)) is not None}
    # A function's own name, where it calls itself, is no use of it.
    mentioned = {
        name
        for found in after.values()
        for function, names in found.mentions.items()
        for name in names - {function.rpartition(".")[2]}
    }
    mentioned |= {name for found in after.values() for line in found.statements for name in line.mentions}
    unused = []
    for name, found in after.items():
        before = _shape_of(base, name)
        added = found.functions.keys() - (before.functions.keys() if before else set())
        unused += [
            f"{name}.{f}" for f in sorted(added) if is_public(f) and f.rpartition(".")[2] not in mentioned
        ]
    return unused


def _inputs(target: Target, tests: Sequence[str]) -> tuple[Probe, ...]:
    bare = target.function.rpartition(".")[2]
    about = [text for text in tests if bare in text]
    probes = propose(target.source, target.function, tests=about, budget=INPUTS_PER_FUNCTION).probes
    return (*probes, *_by_name(target, probes))


def _by_name(target: Target, probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """The first call with arguments, made with their names: whoever calls it so sees when they change."""
    described = find_target(target.source, target.function)
    names = (
        [parameter.name for parameter in described.parameters if not parameter.keyword_only]
        if described
        else []
    )
    for probe in probes:
        call = probe.steps[0] if isinstance(probe, CallSequence) else probe
        if isinstance(call, Call) and 0 < len(call.args) <= len(names):
            named = Call(call.function, (), {**dict(zip(names, call.args, strict=False)), **call.kwargs})
            return (replace(probe, steps=(named,)) if isinstance(probe, CallSequence) else named,)
    return ()


def _distinguishing(
    target: Target, asked: Sequence[tuple[Target, Probe]], look: Sequence[Sequence[Observation]]
) -> tuple[Probe, ...]:
    """New inputs for `target` near those on which base and the patches (the rows of `look`) differ."""
    tried = [j for j, (other, _) in enumerate(asked) if other is target]
    labels = np.full((len(look), len(tried)), CRASH, dtype=np.int32)
    for column, j in enumerate(tried):
        values: dict[bytes, int] = {}
        for row, seen in enumerate(look):
            if seen[j].status == "ok":
                known = values.setdefault(seen[j].value, len(values))
                labels[row, column] = known if seen[j].comparable else OPAQUE
    probes = [asked[j][1] for j in tried]
    return refine(target.source, target.function, probes, labels, budget=DISTINGUISHING_PER_FUNCTION).probes


def _observe(asked: Sequence[tuple[Target, Probe]], tree: Tree, run: Runner) -> list[Observation]:
    """One observation for each probe, in order, from one run of everything in one tree."""
    jobs: list[Job] = []
    places: list[list[int]] = []
    found: list[Observation] = [Observation("absent", shown="not there")] * len(asked)
    for module in dict.fromkeys(target.module for target, _ in asked):
        numbers = [j for j, (target, _) in enumerate(asked) if target.module == module]
        try:
            program = Program(bundle(tree, module))
        except BundleError as error:
            for j in numbers:
                found[j] = Observation("absent", shown=str(error))
            continue
        for start in range(0, len(numbers), PROBES_PER_JOB):
            chunk = numbers[start : start + PROBES_PER_JOB]
            jobs.append(Job(program, tuple(asked[j][1] for j in chunk), LIMITS))
            places.append(chunk)
    for chunk, result in zip(places, run(jobs), strict=True):
        for j, outcome in zip(chunk, result.outcomes, strict=True):
            found[j] = _observation(outcome, probe_text(asked[j][1]))
    return found


def _observation(outcome: Outcome, asked: str) -> Observation:
    """An outcome as something to compare: the value with what was printed, or the kind of failure."""
    short = asked if len(asked) <= 60 else asked[:59] + "…"
    if outcome.status is Status.OK and outcome.value is not None:
        printed = outcome.stdout.encode("utf-8", "surrogatepass")
        value = len(printed).to_bytes(8, "big") + printed + outcome.value.canonical
        return Observation("ok", value, not outcome.value.opaque, f"{short} gives {outcome.value.text(60)}")
    if outcome.status is Status.EXCEPTION:
        return Observation(
            "exception", outcome.exception.encode(), True, f"{short} raises {outcome.exception}"
        )
    return Observation(
        str(outcome.status), b"", True, f"{short} ends as {outcome.status} {outcome.message}".rstrip()
    )


def _settle(runs: Sequence[Observation]) -> Observation:
    """One observation out of several of the same thing: incomparable unless they all agree."""
    first = runs[0]
    if not first.comparable or all(first.agrees(other) for other in runs[1:]):
        return first
    return Observation("unstable", b"", False, f"{first.shown}, but not every time")


def _says(target: Target, known: Observation, seen: Sequence[Observation]) -> bool:
    """Whether an input tells anything about the patches."""
    if not target.in_base:
        return any(_worked(one) for one in seen)
    if not known.comparable or known.status not in ("ok", "exception"):
        return False
    outside = known.status == "exception" and known.value.decode("utf-8", "replace") in _OUTSIDE
    return not (outside and all(one.status == "exception" for one in seen))


def _worked(seen: Observation) -> bool:
    return seen.status == "ok" and seen.comparable
