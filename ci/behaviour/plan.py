"""Plan the comparison of behaviour: which functions, on which inputs.

A changed private function is compared through the public functions that use it. Inputs come from doctests,
asserts, annotations and mutation (`sandbox.inputs`). More are made near those on which the programs differ.

Not covered: callers in other modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ci.behaviour.bundle import Tree, module_name
from ci.behaviour.changes import ModuleShape, is_public, module_shape, touched_functions, users_of
from ci.verdict import Observation
from sandbox.consensus.signature import CRASH, OPAQUE
from sandbox.inputs import propose
from sandbox.inputs.refine import refine
from sandbox.inputs.target import find_target
from sandbox.program import Call, Probe, probe_text
from sandbox.program import Sequence as CallSequence

INPUTS_PER_FUNCTION = 48
DISTINGUISHING_PER_FUNCTION = 16
"""Further inputs, near those on which programs differ: they split groups that agree by accident."""
MAX_FUNCTIONS = 40


@dataclass(frozen=True, slots=True)
class ChangedFunction:
    """A function to compare: changed, added, or a user of one."""

    module: str
    function: str
    """Qualified name in the module: `f` or `Class.method`."""
    source: str
    """Text of the module, from which the inputs are derived."""
    in_base: bool

    @property
    def name(self) -> str:
        return f"{self.module}.{self.function}"


@dataclass(frozen=True, slots=True)
class ProbeInput:
    """One probe of one function."""

    function: ChangedFunction
    probe: Probe

    @property
    def text(self) -> str:
        return probe_text(self.probe)


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """The functions to compare, and those that show each change."""

    functions: tuple[ChangedFunction, ...]
    shown_by: Mapping[str, frozenset[str]]
    """By changed function or unreadable file: names in `functions`. Empty: nothing shows the change."""


_Part = tuple[dict[str, ChangedFunction], dict[str, frozenset[str]]]
"""The functions to compare by name, and `ComparisonPlan.shown_by`, of one module."""


def plan_comparison(
    base: Tree, patched: Mapping[int, Tree], paths: Mapping[int, tuple[str, ...]], *, with_new: bool
) -> ComparisonPlan:
    """Choose the functions to compare in the changed Python files.

    `patched` and `paths` (changed files) are indexed by patch. `with_new` adds functions that base lacks.
    Without it, base is the only reference.
    """
    functions: dict[str, ChangedFunction] = {}
    shown_by: dict[str, frozenset[str]] = {}
    for path in sorted({path for changed in paths.values() for path in changed if path.endswith(".py")}):
        changing = {i: tree for i, tree in patched.items() if path in paths[i]}
        module = module_name(path)
        if module is None or not _is_readable(path, module, (base, *changing.values())):
            shown_by[path] = frozenset()
            continue
        after = {i: _shape_in(tree, module) for i, tree in changing.items()}
        before = _shape_in(base, module)
        parts = [_changed_in_base(module, base, before, after)]
        if with_new:
            parts.append(_added(module, before, changing, after))
        for some_functions, some_shown in parts:
            functions |= some_functions
            shown_by |= some_shown
    if not with_new:
        for i, tree in patched.items():
            shown_by |= dict.fromkeys(_unused(base, tree, paths[i]), frozenset())
    kept = dict(list(functions.items())[:MAX_FUNCTIONS])
    return ComparisonPlan(
        tuple(kept.values()), {name: shown & kept.keys() for name, shown in shown_by.items()}
    )


def first_inputs(plan: ComparisonPlan, tests: Sequence[str]) -> list[ProbeInput]:
    """Propose inputs for every function.

    `tests` are texts whose asserts are examples of calls.
    """
    found = []
    for function in plan.functions:
        bare = function.function.rpartition(".")[2]
        about = [text for text in tests if bare in text]
        probes = propose(function.source, function.function, tests=about, budget=INPUTS_PER_FUNCTION).probes
        found += [ProbeInput(function, probe) for probe in (*probes, *_by_keyword(function, probes))]
    return found


def distinguishing_inputs(
    plan: ComparisonPlan, tried: Sequence[ProbeInput], observed: Sequence[Sequence[Observation]]
) -> list[ProbeInput]:
    """Find new inputs near those on which programs differ.

    `observed` has one row per program (base and the patches) and one column per input of `tried`.
    """
    found = []
    for function in plan.functions:
        columns = [j for j, one in enumerate(tried) if one.function is function]
        labels = np.full((len(observed), len(columns)), CRASH, dtype=np.int32)
        for column, j in enumerate(columns):
            values: dict[bytes, int] = {}
            for row, seen in enumerate(observed):
                if seen[j].status == "ok":
                    label = values.setdefault(seen[j].value, len(values))
                    labels[row, column] = label if seen[j].comparable else OPAQUE
        probes = [tried[j].probe for j in columns]
        budget = DISTINGUISHING_PER_FUNCTION
        more = refine(function.source, function.function, probes, labels, budget=budget).probes
        found += [ProbeInput(function, probe) for probe in more]
    return found


def _shape_in(tree: Tree, module: str) -> ModuleShape | None:
    return module_shape(tree.modules[module][1]) if module in tree.modules else None


def _is_readable(path: str, module: str, trees: Sequence[Tree]) -> bool:
    """Return True if the module's name loads this file, and base parses.

    `trees[0]` is base.
    """
    base = trees[0]
    in_base = module in base.modules
    return not any(path in tree.hidden for tree in trees) and (not in_base or bool(_shape_in(base, module)))


def _changed_in_base(
    module: str, base: Tree, before: ModuleShape | None, after: Mapping[int, ModuleShape | None]
) -> _Part:
    """Collect functions of base that a patch changes, and their public users."""
    functions: dict[str, ChangedFunction] = {}
    shown_by: dict[str, frozenset[str]] = {}
    if before is None:
        return functions, shown_by
    source = base.modules[module][1]
    touched = [touched_functions(before, patch or ModuleShape()) for patch in after.values()]
    for function in sorted(frozenset[str]().union(*touched)):
        public = {name for name in users_of(before, [function]) if is_public(name)}
        # An honest patch may rename or dissolve a private helper: its public users show it. An input has to
        # reach a public function itself, whatever else uses it.
        shown = {function} if is_public(function) else public or {function}
        shown_by[f"{module}.{function}"] = frozenset(f"{module}.{name}" for name in shown)
        for name in sorted(public | shown):
            functions[f"{module}.{name}"] = ChangedFunction(module, name, source, in_base=True)
    return functions, shown_by


def _added(
    module: str,
    before: ModuleShape | None,
    patched: Mapping[int, Tree],
    after: Mapping[int, ModuleShape | None],
) -> _Part:
    """Collect public functions that at least half of the patches add.

    Base lacks them, so only the patches vote on them.
    """
    functions: dict[str, ChangedFunction] = {}
    known = set(before.functions) if before else set()
    added = sorted({name for found in after.values() if found for name in found.functions} - known)
    for function in filter(is_public, added):
        having = [i for i, found in after.items() if found and function in found.functions]
        if 2 * len(having) >= len(after):
            source = patched[having[0]].modules[module][1]
            functions[f"{module}.{function}"] = ChangedFunction(module, function, source, in_base=False)
    return functions, {name: frozenset({name}) for name in functions}


def _unused(base: Tree, patched: Tree, paths: Sequence[str]) -> list[str]:
    """Public functions that a patch adds and no changed module mentions.

    The functions that use an extracted one show its behaviour. Nothing shows the behaviour of these.
    """
    modules = [name for path in paths if path.endswith(".py") and (name := module_name(path)) is not None]
    after = {name: found for name in modules if (found := _shape_in(patched, name)) is not None}
    # A recursive call is not a use by something else.
    mentioned = {
        name
        for found in after.values()
        for function, names in found.mentions.items()
        for name in names - {function.rpartition(".")[2]}
    }
    mentioned |= {name for found in after.values() for line in found.statements for name in line.mentions}
    unused = []
    for name, found in after.items():
        before = _shape_in(base, name)
        added = found.functions.keys() - (before.functions.keys() if before else set())
        unused += [
            f"{name}.{f}" for f in sorted(added) if is_public(f) and f.rpartition(".")[2] not in mentioned
        ]
    return unused


def _by_keyword(function: ChangedFunction, probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Rewrite the first call with keyword arguments, which show renamed parameters."""
    described = find_target(function.source, function.function)
    parameters = described.parameters if described else ()
    names = [parameter.name for parameter in parameters if not parameter.keyword_only]
    for probe in probes:
        call = probe.steps[0] if isinstance(probe, CallSequence) else probe
        if isinstance(call, Call) and 0 < len(call.args) <= len(names):
            named = Call(call.function, (), {**dict(zip(names, call.args, strict=False)), **call.kwargs})
            return (replace(probe, steps=(named,)) if isinstance(probe, CallSequence) else named,)
    return ()
