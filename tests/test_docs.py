"""Check the docs against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ucoder_lsp.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "vscode-extension")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_command_reference_is_fresh() -> None:
    # In a new process: click keeps the first help option that it made for a command, and other tests make theirs.
    check = subprocess.run(
        [sys.executable, "docs/cli.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert check.returncode == 0, f"run: python docs/cli.py\n{check.stderr}"


def test_no_page_installs_ucoder_from_an_index() -> None:
    """Install clones only: on an index the name may be another project."""
    folders = ("sandbox", "ucoder_lsp", "trainer", "ci", "vscode-extension/src")
    sources = [
        path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".ts")
    ]
    for page in [*PAGES, *sources]:
        found = re.search(r"pip install [^\n`]*?(?<![\w/.])ucoder\b", page.read_text(encoding="utf-8"))
        assert found is None, f"{page.relative_to(ROOT)} says: {found[0]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(
        r"`((?:sandbox|ucoder_lsp|trainer|ci|tests|benchmarks|docs|examples)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_options_that_errors_name_exist() -> None:
    known = set(options(main, click.Context(main)))
    for room in ("sandbox", "ucoder_lsp", "trainer", "ci"):
        for file in (ROOT / room).rglob("*.py"):
            raised = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Raise)]
            for text in (
                part.value for node in raised for part in ast.walk(node) if isinstance(part, ast.Constant)
            ):
                if isinstance(text, str) and not re.search(r"\b(pip|git) [a-z]", text):  # theirs
                    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
                    assert named <= known, f"{file.name} names {', '.join(named - known)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = [line.strip().removeprefix("$ ") for line in fenced.splitlines()]
    for words in (line.partition("#")[0].split() for line in (*lines, *re.findall(r"`([^`\n]+)`", text))):
        named = {word for word in words if re.fullmatch(r"--[a-z][a-z-]+", word)}
        if words[:1] == ["ucoder"] and words[1:]:
            assert named <= options_of(words[1:]), f"{page.name} names {' '.join(words)}"
        elif words[:1] == ["python"] and (script := next((w for w in words if w.endswith(".py")), "")):
            # The benchmarks of the server pass other flags on to it.
            known = {"--help", *options_in(ROOT / script)}
            assert named <= known | options_of(["serve"]), f"{page.name} names {' '.join(words)}"


def options_in(script: Path) -> set[str]:
    """Return the options of a script, with those of the benchmarks that it imports from."""
    text = script.read_text(encoding="utf-8")
    others = re.findall(r"^from benchmarks\.(\w+) import", text, re.MULTILINE)
    inherited = [options_in(ROOT / "benchmarks" / f"{name}.py") for name in others]
    return {*re.findall(r'"(--[a-z-]+)"', text)}.union(*inherited)


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command that `words` begin with."""
    command: click.Command = main
    context = click.Context(main)
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        child = command.get_command(context, word.rstrip(","))
        assert child is not None, f"there is no command {' '.join(words)}"
        command, context = child, click.Context(child, parent=context)
    return {"--help", *options(command, context)}


def test_every_benchmark_is_described() -> None:
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    for script in (ROOT / "benchmarks").glob("*.py"):
        assert f"benchmarks/{script.name}" in text


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the options of the command and of all below it."""
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from options(child, context)
