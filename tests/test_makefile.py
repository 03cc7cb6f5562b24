"""`make system`: the line to run where packages are missing and may not be installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what the recipe itself needs, and a user who is not root and has no sudo."""
    for name in ("bash", "apt-get", "grep", "sed"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not on this machine")
        (tmp_path / name).symlink_to(found)
    user = tmp_path / "id"
    user.write_text("#!/bin/sh\necho 1000\n")
    user.chmod(0o755)
    return tmp_path


def make_system(tools: Path) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not on this machine")
    command = [make, "--no-print-directory", "system", f"SHELL={tools}/bash", f"PYTHON={sys.executable}"]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(tools)}, capture_output=True, text=True)


def test_without_bubblewrap_and_compiler_it_stops_with_the_one_line_to_run(tools: Path) -> None:
    result = make_system(tools)
    assert result.returncode != 0
    assert "sudo apt-get install -y bubblewrap g++" in result.stderr


def test_without_apt_it_names_the_packages(tools: Path) -> None:
    (tools / "apt-get").unlink()
    result = make_system(tools)
    assert result.returncode != 0
    assert "install with your package manager, then run make again: bubblewrap g++" in result.stderr


def test_with_everything_there_it_does_nothing(tools: Path) -> None:
    for name in ("bwrap", "c++"):
        (tools / name).symlink_to("/bin/true")
    result = make_system(tools)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
