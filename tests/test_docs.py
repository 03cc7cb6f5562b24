"""Docs are checked against the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_command_reference_is_fresh() -> None:
    # A process of its own: click keeps the first help option it made for a command, and other tests make theirs.
    check = subprocess.run(
        [sys.executable, "docs/cli.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert check.returncode == 0, f"run: python docs/cli.py\n{check.stderr}"


def test_nobody_is_sent_to_an_index_for_ucoder() -> None:
    """It is on none, so the name could be anybody's: what to install is always the clone, `.` or its path."""
    folders = ("sandbox", "ucoder_lsp", "trainer", "ci", "vscode-extension/src")
    sources = [
        path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".ts")
    ]
    for page in [*PAGES, ROOT / "vscode-extension/README.md", *sources]:
        found = re.search(r"pip install [^\n`]*?(?<![\w/.])ucoder\b", page.read_text(encoding="utf-8"))
        assert found is None, f"{page.relative_to(ROOT)} says: {found[0]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(
        r"`((?:sandbox|ucoder_lsp|trainer|ci|tests|benchmarks|docs|examples)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
