"""Record what the default rule sees, and whether it was right, to fit its confidence on.

    python -P benchmarks/confidence.py --model qwen.gguf --out rows.jsonl \\
        --places mbppplus:body:benchmarks/development.jsonl --places humaneval:body:benchmarks/development_stubs.jsonl
    ucoder consensus fit --observed rows.jsonl --out sandbox/consensus/rules/fitted.json

Each place is completed as the server does (`offered.py`). A line of the file holds one election: the features of its
output clusters, which of them are right, and the hash of the task. No text of a task or of a candidate is kept.
`--keep FOLDER` keeps the samples, so that a changed feature needs no new ones.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

import numpy as np
from rich.console import Console

from benchmarks.offered import add_engine_options, open_engine, settings_of
from benchmarks.places import CURSORS, FORMATS, Judge, Place, load_places
from sandbox.consensus.calibration import Row, task_key, write_rows
from sandbox.consensus.election import evidence, outcomes_of
from sandbox.consensus.evaluation import election_row
from sandbox.pool import Sandbox
from trainer.progress import ProgressReporter
from ucoder_lsp.completion.flow import Choice, Completer
from ucoder_lsp.engine.engine import Engine

DRAWS = 3
"""Elections of fewer candidates that each place gives besides the one of all."""
FEWER = (2, 4)
"""Their sizes: an election of few candidates is less sure."""


def row_of(choice: Choice, place: Place, judge: Judge, chosen: Sequence[int], weight: float) -> Row | None:
    """Return what the rule sees of some of the candidates; None where it sees no cluster."""
    inputs = choice.inputs.probe_set if choice.inputs is not None else None
    if inputs is None or not choice.election.results:
        return None
    ballots = choice.insertable.ballots()
    outcomes = outcomes_of([choice.election.results[i] for i in chosen], len(inputs.probes))
    seen = evidence([ballots[i] for i in chosen], outcomes, inputs)

    def is_right(candidate: int) -> bool:
        text = choice.insertable.texts[choice.insertable.drawn[chosen[candidate]][0]].text
        return judge.right(place.task, place.program(text))

    return election_row(task_key(place.before + place.after), seen, is_right, weight)


async def observe(
    places: Sequence[Place],
    completer: Completer,
    judge: Judge,
    reporter: ProgressReporter,
    what: str,
    rows: list[Row],
) -> None:
    """Complete every place, and add its elections to `rows`: of all candidates, and of fewer."""
    with reporter.stage(what, len(places), "places") as step:
        for number, place in enumerate(places, 1):
            choice = await completer.choose(place.context)
            n = len(choice.insertable.drawn)
            generator = np.random.default_rng(number)
            draws = [(list(range(n)), 1.0)]
            draws += [
                ([int(i) for i in generator.choice(n, size, replace=False)], 1.0 / DRAWS)
                for size in FEWER
                if size < n
                for _ in range(DRAWS)
            ]
            found = (row_of(choice, place, judge, chosen, weight) for chosen, weight in draws)
            rows += [row for row in found if row is not None]
            step(number, "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--places",
        action="append",
        required=True,
        metavar="FORMAT:CURSOR:FILE",
        help=f"format ({', '.join(FORMATS)}), cursor ({', '.join(CURSORS)}) and file; may be repeated",
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write the rows to")
    add_engine_options(parser)
    arguments = parser.parse_args()
    reporter = ProgressReporter(console=Console(stderr=True))
    rows: list[Row] = []
    with Sandbox(lowest_tier=1) as sandbox, ExitStack() as stack:
        engine = open_engine(arguments, stack)
        completer = Completer(cast(Engine, engine), sandbox, settings_of(arguments))
        with suppress(KeyboardInterrupt):  # what was observed so far is written
            for description in arguments.places:
                format_, cursor, file = description.split(":", 2)
                places = load_places(Path(file), format_, cursor, arguments.limit)
                judge = Judge([place.task for place in places], sandbox, reporter)
                asyncio.run(observe(places, completer, judge, reporter, f"{Path(file).name}, {cursor}", rows))
    write_rows(arguments.out, rows)
    print(f"Wrote {len(rows)} elections of {len({row.task for row in rows})} tasks to {arguments.out}.")


if __name__ == "__main__":
    main()
