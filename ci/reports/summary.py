"""summary.md: the verdict for a person, as a GitHub step summary shows it.

Names and values in it were chosen by the authors of patches, so they are shown as code and never as markup.
"""

from __future__ import annotations

import re

from ci.gate import Outcome
from ci.verdict import Kind, Standing

_HEADLINES = {
    Kind.ACCEPTED: "Accepted",
    Kind.REJECTED: "Rejected",
    Kind.ABSTAINED: "Abstained: a person decides",
    Kind.UNAVAILABLE: "No verdict: the sandbox is not available",
    Kind.TAMPERING: "Tampering",
}
MAX_DIFFERENCES = 5


def text(outcome: Outcome) -> str:
    """The whole summary in Markdown."""
    verdict = outcome.verdict
    lines = [
        f"## {_HEADLINES[verdict.kind]}",
        "",
        _plain(verdict.reason),
        "",
        f"Base {_code(outcome.request.base)} at {_code(outcome.commit[:12])}; "
        f"{len(outcome.expected.outcomes)} tests expected, {len(outcome.expected.flaky)} flaky; "
        f"{_inputs(outcome)}; isolation tier {outcome.tier}; {outcome.wall_s:.1f} s.",
        "",
        "| patch | lines | standing | group | what it shows |",
        "|---|---|---|---|---|",
    ]
    groups = {i: n for n, cluster in enumerate(verdict.clusters, 1) for i in cluster.members}
    for i, one in enumerate(outcome.examined):
        standing = _standing(outcome, i)
        shown = one.reason or verdict.notes.get(i, "")
        size = one.patch.size if one.patch else "-"
        lines.append(f"| {_code(one.name)} | {size} | {standing} | {groups.get(i, '-')} | {_plain(shown)} |")
    lines += _differences(outcome)
    return "\n".join(lines) + "\n"


def _standing(outcome: Outcome, number: int) -> str:
    """One word: a plausible patch is accepted, agrees with the accepted one, or was outvoted by it."""
    winner = outcome.verdict.winner
    if winner == number:
        return "**accepted**"
    if winner is None or outcome.examined[number].standing is not Standing.PLAUSIBLE:
        return str(outcome.examined[number].standing)
    group = next(cluster for cluster in outcome.verdict.clusters if winner in cluster.members)
    return "agrees" if number in group.members else "outvoted"


def _inputs(outcome: Outcome) -> str:
    if outcome.comparison is None:
        return "behaviour not compared"
    return f"behaviour compared on {len(outcome.comparison.inputs)} inputs"


def _differences(outcome: Outcome) -> list[str]:
    """Where the groups and base part, a few inputs each: what a reviewer should look at first."""
    compared = outcome.comparison
    if compared is None:
        return []
    lines: list[str] = []
    for number, cluster in enumerate(outcome.verdict.clusters, 1):
        first = cluster.members[0]
        row = compared.patches[first]
        differing = [j for j, seen in enumerate(row) if not seen.agrees(compared.base[j])]
        if not differing:
            continue
        lines += ["", f"Group {number} ({_code(outcome.examined[first].name)}) departs from base:", ""]
        for j in differing[:MAX_DIFFERENCES]:
            lines.append(f"- {_code(row[j].shown)}; base: {_code(compared.base[j].shown)}")
        if len(differing) > MAX_DIFFERENCES:
            lines.append(f"- {len(differing) - MAX_DIFFERENCES} more in result.json")
    return lines


def _code(value: str) -> str:
    """One line of code, whatever it contains."""
    line = " ".join(value.split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in _runs(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line or ' '}{pad}{ticks}"


def _runs(line: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in line).split() if run]


def _plain(value: str) -> str:
    """Prose in which nothing can become a link, an image, HTML or a new cell."""
    line = "".join(f"\\{char}" if char in "\\`*<>|!~&" else char for char in " ".join(value.split()))
    # What GitHub makes links of without brackets (addresses, people, issues) it leaves alone in code.
    line = re.sub(r"://|www\.|[@#]", r"`\g<0>`", line, flags=re.IGNORECASE)
    return line.replace("](", "]\\(").replace("][", "]\\[")
