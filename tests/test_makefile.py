"""`make system` reports missing packages; llama.cpp is built without unused parts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD_LOG = ROOT / ".venv" / "stamps" / "llama.log"
STEPS_OF_ALL = 193
"""Build steps of llama-cpp-python 0.3.36 by default."""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Make a PATH for the recipe alone, and a user without sudo."""
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


def test_without_bubblewrap_and_compiler_it_prints_the_line_to_run(tools: Path) -> None:
    result = make_system(tools)
    assert result.returncode != 0
    assert "sudo apt-get install -y bubblewrap g++" in result.stderr


def test_without_apt_it_names_the_packages(tools: Path) -> None:
    (tools / "apt-get").unlink()
    result = make_system(tools)
    assert result.returncode != 0
    assert "install with your package manager, then run make again: bubblewrap g++" in result.stderr


def test_with_all_packages_it_does_nothing(tools: Path) -> None:
    for name in ("bwrap", "c++"):
        (tools / name).symlink_to("/bin/true")
    result = make_system(tools)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


@pytest.fixture
def build_log() -> str:
    """The output of pip when the Makefile built this environment's llama_cpp."""
    log = BUILD_LOG.read_text("utf-8") if BUILD_LOG.is_file() else ""
    if Path(sys.prefix) != ROOT / ".venv" or "Successfully built llama-cpp-python" not in log:
        pytest.skip("the llama_cpp of this environment was not built by this Makefile")
    return log


def test_llama_cpp_is_built_in_at_most_half_of_its_steps(build_log: str) -> None:
    done, steps = map(int, re.findall(r"\[(\d+)/(\d+)\]", build_log)[-1])
    assert done == steps <= STEPS_OF_ALL // 2


def test_the_engine_loads_exactly_the_libraries_that_were_built(
    build_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load them from the package's own folder, by $ORIGIN, from anywhere."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    code = "import ucoder_lsp.engine.context; print(open('/proc/self/maps').read())"
    command = [sys.executable, "-c", code]
    maps = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    loaded = set(re.findall(r"/llama_cpp/lib/(\w[\w-]*)\.so", maps))
    assert {"libllama", "libggml", "libggml-base", "libggml-cpu"} <= loaded
    files = metadata.files("llama-cpp-python") or []
    assert {path.name.partition(".")[0] for path in files if ".so" in path.name} == loaded


@pytest.mark.parametrize(
    ("model", "fetched", "calls", "said"),
    [
        (None, True, ["models get qwen2.5-coder-0.5b", "demo"], ""),
        (
            None,
            False,
            ["models get qwen2.5-coder-0.5b", "demo"],
            "goes on with the model that 'ucoder settings'",
        ),
        ("auto", True, ["models get qwen2.5-coder-0.5b", "demo"], ""),
        ("embedded", True, ["demo"], ""),
        ("/own/model.gguf", True, ["demo"], ""),
    ],
)
def test_the_demo_gets_a_model_first_unless_another_is_set(
    tmp_path: Path, model: str | None, fetched: bool, calls: list[str], said: str
) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not on this machine")
    log, ucoder, installed = tmp_path / "log", tmp_path / "ucoder", tmp_path / "installed"
    status = 0 if fetched else 1
    ucoder.write_text(f'#!/bin/sh\necho "$*" >>"{log}"\ntest "$1" != models || exit {status}\n')
    ucoder.chmod(0o755)
    installed.touch()
    command = [
        make,
        "--no-print-directory",
        "demo",
        f"BIN={tmp_path}",
        f"STAMPS={tmp_path}",
        "-o",
        str(installed),
    ]
    environment = {"PATH": os.environ["PATH"]} | ({} if model is None else {"UCODER_MODEL": model})
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert log.read_text().splitlines() == calls
    assert said in result.stdout
    assert bool(result.stdout) == bool(said)
