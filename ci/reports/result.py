"""Build result.json: the evidence of a verdict, under a versioned schema.

docs/gate.md describes every field. A field is never renamed or given another meaning without a new schema
version; fields may be added.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version

from ci.gate import HASH_SEEDS, ExaminedPatch, GateResult

SCHEMA = "ucoder.gate/1"


def as_data(result: GateResult) -> dict[str, object]:
    """Return the whole result as JSON data."""
    request, verdict = result.request, result.verdict
    winner = None if verdict.winner is None else result.examined[verdict.winner].name
    return {
        "schema": SCHEMA,
        "ucoder": version("ucoder"),
        "verdict": str(verdict.kind),
        "exit_code": int(verdict.exit_code),
        "reason": verdict.reason,
        "accepted": winner,
        "base": {"ref": request.base, "commit": result.commit},
        "intent": str(request.intent),
        "thresholds": asdict(request.thresholds),
        "host": result.host,
        "tier": result.tier,
        "hash_seeds": list(HASH_SEEDS),
        "wall_s": round(result.wall_s, 3),
        "tests": {
            "expected": dict(result.expected.outcomes),
            "reproduction": sorted(result.expected.failing),
            "flaky": sorted(result.expected.flaky),
        },
        "behaviour": _behaviour(result),
        "clusters": [
            {
                "patches": [result.examined[i].name for i in cluster.members],
                "distinct": cluster.distinct,
                "share": round(cluster.share, 4),
                "equals_base": cluster.equals_base,
            }
            for cluster in verdict.clusters
        ],
        "patches": [_patch(one, verdict.notes.get(i, "")) for i, one in enumerate(result.examined)],
    }


def _behaviour(result: GateResult) -> dict[str, object] | None:
    compared = result.comparison
    if compared is None:
        return None
    return {
        "inputs": list(compared.inputs),
        "base": [seen.shown for seen in compared.base],
        "dropped": compared.dropped,
        "gaps": list(compared.gaps),
        "differences": {
            result.examined[i].name: [
                {"input": compared.inputs[j], "base": compared.base[j].shown, "patch": seen.shown}
                for j, seen in enumerate(row)
                if not seen.agrees(compared.base[j])
            ]
            for i, row in compared.patches.items()
        },
    }


def _patch(one: ExaminedPatch, note: str) -> dict[str, object]:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "standing": str(one.standing),
        "reason": one.reason,
        "behaviour": note,
        "form": one.form,
        "size": one.patch.size if one.patch else 0,
        "files": list(one.patch.paths) if one.patch else [],
        "protected": list(one.protected),
        "tests": dict(one.tests),
        "tests_wall_s": round(one.wall_s, 3),
    }
