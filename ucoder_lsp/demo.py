"""The command `ucoder demo`: complete the examples and print the reasons.

The demo starts the language server over stdio, as an editor does. It types at a few cursor positions and prints the
whole explanation of each completion. It uses the protocol only.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ucoder_lsp.server.client import Editor, ServerFailed, position_after

DEFAULT_WORKSPACE = Path("examples/workspace")


@dataclass(frozen=True, slots=True)
class Stop:
    """A cursor position: in `file`, behind `anchor`, after typing `typed`."""

    title: str
    file: str
    anchor: str
    typed: str


STOPS = (
    Stop("An empty body under a signature and docstring", "arithmetic.py", '    False\n    """', "\n    "),
    Stop("The middle of an expression", "arithmetic.py", "return [n", " * "),
    Stop("The end of an expression", "arithmetic.py", "return sum(values)", " / "),
    Stop("An argument inside a call", "words.py", "return max(words", ", key="),
    Stop("A docstring without examples", "words.py", 'the same backwards."""', "\n    "),
    Stop("A method of a class", "stack.py", '"""Put an item on top."""', "\n        "),
)


def typed_document(workspace: Path, stop: Stop) -> tuple[str, int, int]:
    """Return the document after typing at a stop, and the cursor.

    The cursor is a 0-based line and character.
    """
    text = (workspace / stop.file).read_text(encoding="utf-8")
    at = text.index(stop.anchor) + len(stop.anchor)
    line, character = position_after(text[:at] + stop.typed, text[:at] + stop.typed)
    return text[:at] + stop.typed + text[at:], line, character


async def run(workspace: Path, console: Console) -> bool:
    """Run every stop; returns whether consensus chose at least one completion."""
    ran = False
    with console.status("Starting the language server") as spinner:
        started = time.perf_counter()
        async with Editor(workspace, on_status=lambda s: spinner.update(s["message"])) as editor:
            status = await editor.ready()
            spinner.stop()
            console.print(
                f"[bold]{status['model']}[/] ready after {time.perf_counter() - started:.1f} s, "
                f"sandbox tier {status['sandboxTier']}. {status['message']}"
            )
            for message in editor.messages:
                console.print(f"[yellow]{message}[/]")
            for number, stop in enumerate(STOPS, 1):
                text, line, character = typed_document(workspace, stop)
                uri = editor.open(stop.file, text)
                await editor.inline_completion(uri, line, character)
                console.rule(f"{number}. {stop.title} — {stop.file}:{line + 1}:{character + 1}", align="left")
                explanation = await editor.explain_request()
                assert explanation is not None, "every answered request can be explained"
                show(console, text, explanation)
                ran |= explanation["decidedBy"] == "consensus"
    return ran


def show(console: Console, text: str, explanation: dict[str, Any]) -> None:
    """Print one explained completion."""
    lines = text.split("\n")
    first = explanation["line"]
    while first > 0 and not lines[first].lstrip().startswith(("def ", "class ")):
        first -= 1
    before = "\n".join(lines[first : explanation["line"] + 1])
    rest = before[len(before) - len(lines[explanation["line"]]) + explanation["character"] :]
    before = before[: len(before) - len(rest)]
    shown = Text.assemble(before, (explanation["text"], "bold green"), rest)
    console.print(Panel(shown, title="ghost text in green", title_align="left", expand=False))
    console.print(
        f"[bold]Chosen by {explanation['decidedBy']}[/] (confidence {explanation['confidence']:.2f}): ",
        end="",
    )
    console.print(explanation["reason"], markup=False)
    console.print(_candidates(explanation))
    if explanation["clusters"]:
        console.print(_clusters(explanation))
    console.print(_timings(explanation["timings"]), style="dim")


def _candidates(explanation: dict[str, Any]) -> Table:
    total = sum(candidate["count"] for candidate in explanation["candidates"])
    table = Table(title=f"{total} candidates, duplicates listed once (→ chosen)", title_justify="left")
    for column in ("#", "samples", "cluster", "log-prob", "reached"):
        table.add_column(column, justify="right" if column != "reached" else "left")
    table.add_column("text", overflow="fold")
    for index, candidate in enumerate(explanation["candidates"]):
        cluster = (
            "" if candidate["cluster"] is None else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[candidate["cluster"] % 26]
        )
        mark = "→ " if index == explanation["winner"] else ""
        table.add_row(
            f"{mark}{index}",
            str(candidate["count"]),
            cluster,
            f"{candidate['meanLogprob']:.2f}",
            candidate["status"],
            Syntax(_aligned(candidate["text"]), "python", background_color="default"),
        )
    return table


def _aligned(text: str) -> str:
    """Move the candidate's first line to the margin, like the others."""
    first, _, rest = text.strip("\n").partition("\n")
    return first.strip() + ("\n" + textwrap.dedent(rest) if rest else "")


def _clusters(explanation: dict[str, Any]) -> Table:
    """Tabulate the behaviour of each cluster.

    Probe inputs on which clusters differ come first.
    """
    clusters = explanation["clusters"]
    rows = list(zip(explanation["probes"], *(cluster["behaviour"] for cluster in clusters), strict=False))
    rows.sort(key=lambda row: len(set(row[1:])) == 1)
    table = Table(
        title=f"Behaviour on {len(rows)} probe inputs (cluster, its candidates, its share of the samples)",
        title_justify="left",
        min_width=80,
    )
    table.add_column("probe input", overflow="fold")
    for index, cluster in enumerate(clusters):
        members = ", ".join(str(member) for member in cluster["members"])
        table.add_column(
            f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[index % 26]} ({members}) {cluster['share']:.0%}", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _timings(timings: dict[str, float]) -> str:
    return "time: " + ", ".join(
        f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in timings.items()
    )


@click.command()
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=DEFAULT_WORKSPACE,
    show_default=True,
    help="Folder with the example files, as in a clone of UCoder.",
)
def demo(workspace: Path) -> None:
    """Complete the example files and show why each text was chosen.

    It starts the real server, as an editor does, and changes no file.
    """
    console = Console()
    try:
        ran = asyncio.run(run(workspace, console))
    except ServerFailed as error:
        console.print(f"[red]{error}[/]")
        sys.exit(1)
    if not ran:
        console.print("[red]Consensus chose no completion. Run: ucoder sandbox doctor[/]")
        sys.exit(1)
