"""docs/gate.md matches the code: options, exit codes, schema and thresholds."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ci.cli import gate
from ci.reports.result import SCHEMA
from ci.verdict import ExitCode, Thresholds

PAGE = Path(__file__).parents[2] / "docs/gate.md"


def options() -> str:
    """Return the text of `ucoder gate --help` at 100 columns."""
    settings = gate.context_settings
    context = click.Context(
        gate, info_name="ucoder gate", max_content_width=100, terminal_width=100, **settings
    )
    return gate.get_help(context)


def test_the_options_are_up_to_date() -> None:
    shown = PAGE.read_text().rpartition("```text\n")[2].partition("\n```")[0]
    assert shown == options(), "run: python tests/ci/test_docs.py"


def test_exit_codes_schema_and_thresholds() -> None:
    text = PAGE.read_text()
    for code in ExitCode:
        assert f"| {int(code)} | {code.name.lower()} |" in text
    assert f"`{SCHEMA}`" in text
    limits = Thresholds()
    rule = f"at least {limits.distinct} votes, {limits.share:.0%} of all votes and {limits.lead:.0%} more"
    assert re.sub(r"\s+", " ", rule.replace("%", " %")) in re.sub(r"\s+", " ", text)


if __name__ == "__main__":
    head = PAGE.read_text().rpartition("```text\n")[0]
    PAGE.write_text(f"{head}```text\n{options()}\n```\n")
