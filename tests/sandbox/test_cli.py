"""The commands `ucoder sandbox doctor` and `ucoder sandbox run`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from sandbox.cli import sandbox as command


def test_doctor_names_the_tier_and_tries_the_forbidden() -> None:
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
