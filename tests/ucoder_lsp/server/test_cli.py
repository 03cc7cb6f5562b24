"""The command `ucoder settings`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from ucoder_lsp.config import Settings
from ucoder_lsp.server.cli import settings


def test_the_printed_settings_are_a_valid_configuration_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("UCODER_CONFIG", str(file))
    arguments = ["--python", 'C:\\a "quoted" é', "--execution", "false", "--temperature", "0.25"]
    printed = CliRunner().invoke(settings, arguments)
    assert printed.exit_code == 0
    assert printed.output.startswith(f"# Configuration file: {file} (does not exist yet)\n")
    assert all(f"\n{field.name} " in printed.output for field in fields(Settings))
    file.write_text(printed.output, encoding="utf-8")
    again = CliRunner().invoke(settings, [])
    assert again.output == printed.output.replace(" (does not exist yet)", "")
