"""result.json: everything a later reader or program needs to check a verdict, with a version in it.

The schema is told field by field in docs/gate.md. A field is never renamed or given another meaning without
a new version; fields may be added.
"""

from __future__ import annotations

from importlib.metadata import version

from ci.gate import HASH_SEEDS, Examined, Outcome

SCHEMA = "ucoder.gate/1"


def as_data(outcome: Outcome) -> dict[str, object]:
    """The whole result as JSON data."""
    request, verdict = outcome.request, outcome.verdict
    winner = None if verdict.winner is None else outcome.examined[verdict.winner].name
    limits = request.thresholds
    return {
        "schema": SCHEMA,
        "ucoder": version("ucoder"),
        "verdict": str(verdict.kind),
        "exit_code": int(verdict.exit_code),
        "reason": verdict.reason,
        "accepted": winner,
        "base": {"ref": request.base, "commit": outcome.commit},
        "intent": str(request.intent),
        "thresholds": {
            "distinct": limits.distinct,
            "share": limits.share,
            "lead": limits.lead,
            "probes": limits.probes,
        },
        "host": outcome.host,
        "tier": outcome.tier,
        "hash_seeds": list(HASH_SEEDS),
        "wall_s": round(outcome.wall_s, 3),
        "tests": {
            "expected": dict(outcome.expected.outcomes),
            "reproduction": sorted(outcome.expected.failing),
            "flaky": sorted(outcome.expected.flaky),
        },
        "behaviour": _behaviour(outcome),
        "clusters": [
            {
                "patches": [outcome.examined[i].name for i in cluster.members],
                "distinct": cluster.distinct,
                "share": round(cluster.share, 4),
                "equals_base": cluster.equals_base,
            }
            for cluster in verdict.clusters
        ],
        "patches": [_patch(one, verdict.notes.get(i, "")) for i, one in enumerate(outcome.examined)],
    }


def _behaviour(outcome: Outcome) -> dict[str, object] | None:
    compared = outcome.comparison
    if compared is None:
        return None
    return {
        "inputs": list(compared.inputs),
        "base": [seen.shown for seen in compared.base],
        "dropped": compared.dropped,
        "gaps": list(compared.gaps),
        "differences": {
            outcome.examined[i].name: [
                {"input": compared.inputs[j], "base": compared.base[j].shown, "patch": seen.shown}
                for j, seen in enumerate(row)
                if not seen.agrees(compared.base[j])
            ]
            for i, row in compared.patches.items()
        },
    }


def _patch(one: Examined, note: str) -> dict[str, object]:
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
