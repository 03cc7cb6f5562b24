"""The report of a run.

It is one HTML file that explains itself, without scripts or other files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from trainer.data.own_answers import Found
from trainer.result import Result
from trainer.run.folder import RunFolder, RunRecord
from trainer.stages.funnel import Funnel

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 220, 48, 28
"""Of the loss curve, in pixels."""


def write_report(
    run: RunFolder, arm: str, funnel: Funnel, losses: Sequence[tuple[int, float]], result: Result | None
) -> Path:
    """Write `report.html` of one arm.

    Untrusted text (the model wrote it) is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        name=run.path.name,
        arm=arm,
        about=run.read("run.json", RunRecord),
        stages=[(name, _bars(counts)) for name, counts in funnel.stages.items()],
        examples=funnel.examples,
        curve=curve(losses),
        result=result,
    )
    return run.write(f"{arm}/report.html", page)


def _bars(counts: dict[str, int]) -> list[tuple[str, int, float]]:
    """Return (what, count, share of the stage).

    Kept items come first, then the others from common to rare.
    """
    total = sum(counts.values()) or 1
    kept = ("kept", "selected", "programs", "examples", Found.SAME)
    order = sorted(counts.items(), key=lambda item: (item[0] not in kept, -item[1], item[0]))
    return [(what, n, n / total) for what, n in order]


def curve(losses: Sequence[tuple[int, float]]) -> dict[str, Any] | None:
    """Draw the loss curve as points of an SVG, None without losses."""
    if not losses:
        return None
    steps, values = [s for s, _ in losses], [v for _, v in losses]
    top, span = max(values) * 1.05 or 1.0, max(steps[-1] - steps[0], 1)

    def at(step: int, loss: float) -> str:
        x = LEFT + (step - steps[0]) / span * (WIDTH - LEFT - 8)
        return f"{x:.1f},{y(loss):.1f}"

    def y(loss: float) -> float:
        return 8 + (1 - loss / top) * (HEIGHT - BOTTOM - 8)

    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM,
        "points": " ".join(at(step, loss) for step, loss in losses),
        "ticks": [(top * part, y(top * part)) for part in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "first": steps[0], "last": steps[-1], "start": values[0], "end": values[-1],
    }  # fmt: skip
