"""Write summary.md: the verdict in the Markdown of GitHub step summaries.

The authors of patches choose names and values in it, so these are shown as code and never act as markup.
"""

from __future__ import annotations

import re

from ci.gate import GateResult
from ci.verdict import Standing, VerdictKind

_HEADLINES = {
    VerdictKind.ACCEPTED: "Accepted",
    VerdictKind.REJECTED: "Rejected",
    VerdictKind.ABSTAINED: "Abstained: needs human review",
    VerdictKind.UNAVAILABLE: "No verdict: the sandbox is not available",
    VerdictKind.TAMPERING: "Tampering",
}
MAX_DIFFERENCES = 5


def summary_text(result: GateResult) -> str:
    """Return the whole summary in Markdown."""
    verdict = result.verdict
    lines = [
        f"## {_HEADLINES[verdict.kind]}",
        "",
        _plain(verdict.reason),
        "",
        f"Base {_code(result.request.base)} at {_code(result.commit[:12])}; "
        f"{len(result.expected.outcomes)} tests expected, {len(result.expected.flaky)} flaky; "
        f"{_inputs(result)}; isolation tier {result.tier}; {result.wall_s:.1f} s.",
        "",
        "| patch | lines | standing | group | what it shows |",
        "|---|---|---|---|---|",
    ]
    groups = {i: n for n, cluster in enumerate(verdict.clusters, 1) for i in cluster.members}
    for i, one in enumerate(result.examined):
        standing = _standing(result, i)
        shown = one.reason or verdict.notes.get(i, "")
        size = one.patch.size if one.patch else "-"
        lines.append(f"| {_code(one.name)} | {size} | {standing} | {groups.get(i, '-')} | {_plain(shown)} |")
    lines += _differences(result)
    return "\n".join(lines) + "\n"


def _standing(result: GateResult, number: int) -> str:
    """One word for the result of a patch.

    A plausible patch is accepted, agrees with the accepted one, or is outvoted.
    """
    winner = result.verdict.winner
    if winner == number:
        return "**accepted**"
    if winner is None or result.examined[number].standing is not Standing.PLAUSIBLE:
        return str(result.examined[number].standing)
    group = next(cluster for cluster in result.verdict.clusters if winner in cluster.members)
    return "agrees" if number in group.members else "outvoted"


def _inputs(result: GateResult) -> str:
    if result.comparison is None:
        return "behaviour not compared"
    return f"behaviour compared on {len(result.comparison.inputs)} inputs"


def _differences(result: GateResult) -> list[str]:
    """List a few inputs per group on which it differs from base.

    A reviewer looks at these first.
    """
    compared = result.comparison
    if compared is None:
        return []
    lines: list[str] = []
    for number, cluster in enumerate(result.verdict.clusters, 1):
        first = cluster.members[0]
        row = compared.patches[first]
        differing = [j for j, seen in enumerate(row) if not seen.agrees(compared.base[j])]
        if not differing:
            continue
        lines += ["", f"Group {number} ({_code(result.examined[first].name)}) departs from base:", ""]
        for j in differing[:MAX_DIFFERENCES]:
            lines.append(f"- {_code(row[j].shown)}; base: {_code(compared.base[j].shown)}")
        if len(differing) > MAX_DIFFERENCES:
            lines.append(f"- {len(differing) - MAX_DIFFERENCES} more in result.json")
    return lines


def _code(value: str) -> str:
    """Format any text as one line of code."""
    line = " ".join(value.split()).replace("|", "\\|")
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line or ' '}{pad}{ticks}"


def _plain(value: str) -> str:
    """Escape prose: no link, image, HTML or new cell."""
    line = "".join(f"\\{char}" if char in "\\`*<>|!~&" else char for char in " ".join(value.split()))
    # GitHub links bare addresses, people and issues, but not inside code.
    line = re.sub(r"://|www\.|[@#]", r"`\g<0>`", line, flags=re.IGNORECASE)
    return line.replace("](", "]\\(").replace("][", "]\\[")
