"""Test the commands `ucoder sandbox doctor` and `ucoder sandbox run`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox import tiers
from sandbox.cli import sandbox as command
from sandbox.pool import Sandbox


def test_doctor_names_the_tier_and_tries_forbidden_actions() -> None:
    result = CliRunner().invoke(command, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "tier          1" in result.output or "tier          2" in result.output
    assert "NOT STOPPED" not in result.output


def test_run_a_file_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("def f(a, b): return [a, b]\nif __name__ == '__main__': print(input()[::-1])\n")
    called = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, 'x')"])
    assert "f(1, 'x'): [1, 'x']" in called.output
    unpacked = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, **{'b': 2})"])
    assert unpacked.output.endswith("[1, 2]\n")
    unhashable = CliRunner().invoke(command, ["run", str(file), "--call", "f(1, {[]: 1})"])
    assert (unhashable.exit_code, "TypeError" in unhashable.output) == (1, True)
    script = CliRunner().invoke(command, ["run", str(file), "--stdin", "abc"])
    assert "cba" in script.output
    file.write_text("def f(:\n")
    broken = CliRunner().invoke(command, ["run", str(file)])
    assert broken.exit_code == 1
    assert "does not compile" in broken.output


JAVASCRIPT = (
    "function f(xs, x) { xs.push(x); return xs.length; }\nconsole.log(require('fs').readFileSync(0, 'utf8'));"
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


@needs_node
def test_run_finds_the_language_by_the_extension(tmp_path: Path, tier_1: Sandbox) -> None:
    file = tmp_path / "program.JS"
    file.write_text(JAVASCRIPT)
    called = CliRunner().invoke(command, ["run", str(file), "--call", "f([1], true)"])
    assert called.output.endswith("f([1], true): 2, leaving its arguments as ([1, True], True)\n")
    typed = CliRunner().invoke(command, ["run", str(file), "--call", "typeof(1)"])
    assert typed.output.endswith(": 'number'\n")
    evaluated = CliRunner().invoke(command, ["run", str(file), "--call", "[1, 2].map(x => x * 2)"])
    assert evaluated.output.endswith(": [2, 4]\n")
    script = CliRunner().invoke(command, ["run", str(file), "--stdin", "abc"])
    assert "script: 'abc\\n'" in script.output
    file.write_text("function f( {")
    broken = CliRunner().invoke(command, ["run", str(file)])
    assert (broken.exit_code, "does not compile" in broken.output) == (1, True)


@needs_node
def test_run_takes_the_language_as_an_option(tmp_path: Path, tier_1: Sandbox) -> None:
    file = tmp_path / "program"
    file.write_text("x => x")
    as_python = CliRunner().invoke(command, ["run", str(file)])
    assert (as_python.exit_code, "does not compile" in as_python.output) == (1, True)
    named = CliRunner().invoke(command, ["run", str(file), "--language", "javascript", "--call", "1 + 1"])
    assert named.output.endswith("1 + 1: 2\n")


def test_run_names_the_known_extensions_and_languages(tmp_path: Path) -> None:
    file = tmp_path / "program.rb"
    file.write_text("1")
    unknown = CliRunner().invoke(command, ["run", str(file)])
    assert unknown.exit_code == 1
    for word in ("'.rb'", ".py (python)", ".js .cjs (javascript)", "--language"):
        assert word in unknown.output
    other = CliRunner().invoke(command, ["run", str(file), "--language", "ruby"])
    assert other.exit_code == 2
    assert "'ruby' is not one of 'python', 'javascript'" in other.output


def test_run_names_the_package_where_node_is_missing(
    tmp_path: Path, tier_1: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "program.js"
    file.write_text(JAVASCRIPT)

    def without_node(name: str) -> str | None:
        return None if name == "node" else which(name)

    which = shutil.which
    monkeypatch.setattr(shutil, "which", without_node)
    missing = CliRunner().invoke(command, ["run", str(file)])
    assert missing.exit_code == 1
    assert "apt install nodejs" in missing.output


def test_run_refuses_javascript_with_reduced_isolation(
    tmp_path: Path, tier_2: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "program.js"
    file.write_text(JAVASCRIPT)
    monkeypatch.setattr(tiers, "choose_tier", lambda _: 2)
    refused = CliRunner().invoke(command, ["run", str(file)])
    assert refused.exit_code == 1
    assert "full isolation (tier 1)" in refused.output


def test_run_refuses_a_call_that_is_not_an_expression(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("x = 1")
    refused = CliRunner().invoke(command, ["run", str(file), "--call", "f("])
    assert refused.exit_code == 2
    assert "'f(' is not a Python expression" in refused.output


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\xef\xbb\xbfdef f(): return 1\n", "f(): 1"),
        (b"# coding: latin-1\ndef f(): return '\xe9'\n", "f(): 'é'"),
        (b"# coding: none\ndef f(): return 1\n", "cannot be read: unknown encoding"),
        (b"def f(): return '\xe9'\n", "Error: "),
    ],
    ids=["byte-order-mark", "latin-1", "unknown", "wrong"],
)
def test_run_reads_a_file_in_the_encoding_that_it_names(tmp_path: Path, data: bytes, shown: str) -> None:
    file = tmp_path / "program.py"
    file.write_bytes(data)
    assert shown in CliRunner().invoke(command, ["run", str(file), "--call", "f()"]).output
