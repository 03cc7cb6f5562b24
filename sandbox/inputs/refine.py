"""Find distinguishing inputs, near those on which candidates disagree.

Two steps keep the cost of a large budget small. Many neighbours of such inputs are proposed and run on one
representative of each cluster. The few that separate representatives are then run on every candidate.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from sandbox.inputs import generate
from sandbox.inputs.kinds import is_built, of_value
from sandbox.inputs.mutate import mutate_call
from sandbox.inputs.objects import Objects
from sandbox.inputs.propose import (
    Collector,
    NoInput,
    ProbeSet,
    call_hints,
    describing,
    fillable,
    returns_objects,
)
from sandbox.inputs.target import find_target
from sandbox.program import Call, Probe
from sandbox.program import Sequence as CallSequence

Labels = NDArray[np.int32]
"""Shape (n_candidates, n_probes): equal labels for equal values of one probe, negative for no value."""


def refine(
    source: str,
    function: str,
    tried: Sequence[Probe],
    labels: Labels,
    *,
    budget: int = 16,
    seed: int = 0,
) -> ProbeSet:
    """Propose up to `budget` probes near those on which candidates disagree.

    Crashes do not count as disagreement. `labels` are the candidates' labels on `tried`
    (`sandbox.consensus.signature.behaviour_of(...).labels`), shape (n_candidates, len(tried)).
    """
    target = find_target(source, function)
    if target is None or budget <= 0:
        return ProbeSet()
    weights = disagreement(labels)
    bases = [
        (_as_call(probe, function), float(weight))
        for probe, weight in zip(tried, weights, strict=True)
        if isinstance(probe, Call | CallSequence)
    ]
    calls = [call for call, _ in bases if call is not None]
    if not calls:
        return ProbeSet()
    random = Random(seed)  # noqa: S311 - inputs, not secrets
    hints = call_hints(target, calls)
    objects = Objects(target)
    try:
        _, found = fillable(target, calls, objects)
    except NoInput:
        found = ()  # the calls seen can still be mutated
    may_mutate = not any(is_built(kind) for kind in found) and not _hold_built(calls)
    collector = Collector(target, budget + len(tried), objects)
    for probe in tried:
        collector.add(_as_call(probe, function) or probe, "seen")
    skipped = len(collector.probes)
    likely = [weight + 0.02 for call, weight in bases if call is not None]
    typical = (Call(function, values) for values in generate.draw(found, hints, budget // 2, seed + 1))
    for _ in range(4 * budget):
        if collector.full or len(collector.probes) - skipped >= budget:
            break
        if may_mutate:
            call = random.choices(calls, likely)[0]
            for _ in range(random.choice((1, 1, 2, 3))):
                call = mutate_call(call, hints, random)
            collector.add(call, "mutation")
        for drawn in itertools.islice(typical, 1 if not may_mutate or random.random() < 0.4 else 0):
            collector.add(drawn, "type")
    found_probes = collector.probes[skipped : skipped + budget]
    return ProbeSet(
        tuple(map(describing, found_probes) if returns_objects(target, objects) else found_probes),
        tuple(collector.origins[skipped : skipped + budget]),
    )


def _hold_built(calls: Sequence[Call]) -> bool:
    kinds = (of_value(value) for call in calls for value in (*call.args, *call.kwargs.values()))
    return any(kind is not None and is_built(kind) for kind in kinds)


def _as_call(probe: Probe, function: str) -> Call | None:
    if isinstance(probe, CallSequence) and len(probe.steps) == 1:
        return Call(function, probe.steps[0].args, probe.steps[0].kwargs)
    return probe if isinstance(probe, Call) else None


def disagreement(labels: Labels) -> NDArray[np.float64]:
    """Return each probe's chance that two random candidates answer differently.

    In [0, 1]: zero where all agree and where all crash.
    """
    n, m = labels.shape
    result = np.zeros(m)
    for probe in range(m):
        column = labels[:, probe]
        valid = column[column >= 0]
        if len(valid) > 1:
            shares = np.bincount(valid) / n
            result[probe] = shares.sum() ** 2 - (shares**2).sum()
    return result


def choose_distinguishing(
    labels: Labels, count: int, weights: NDArray[np.float64] | None = None
) -> list[int]:
    """Choose greedily up to `count` probes, best first.

    Each splits most of the pairs of candidates not yet split. `labels` has shape (n_candidates, n_probes),
    `weights` (n_candidates,): the importance of candidates, or of the clusters they represent. Probes that
    split nothing are left out.
    """
    n, m = labels.shape
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    blocks = np.zeros(n, dtype=np.int64)
    chosen: list[int] = []
    remaining = set(range(m))
    while remaining and len(chosen) < count:
        gains = {probe: _split_gain(blocks, labels[:, probe], weight) for probe in remaining}
        best = max(sorted(gains), key=lambda probe: gains[probe])
        if gains[best] <= 0:
            break
        chosen.append(best)
        remaining.discard(best)
        blocks = np.unique(np.stack([blocks, labels[:, best]]), axis=1, return_inverse=True)[1].reshape(-1)
    return chosen


def _split_gain(blocks: NDArray[np.int64], column: Labels, weight: NDArray[np.float64]) -> float:
    """Return the weight of the pairs that a probe splits.

    Only pairs within one block count, and crashes split nothing.
    """
    gain = 0.0
    for block in np.unique(blocks):
        inside = (blocks == block) & (column >= 0)
        if inside.sum() > 1:
            sizes = np.bincount(column[inside], weights=weight[inside])
            gain += float(sizes.sum() ** 2 - (sizes**2).sum())
    return gain
