"""The command `ucoder adapters`, also beside damaged versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.ucoder_lsp.adapters.damage import DAMAGES, damage
from ucoder_lsp.adapters.cli import adapters as command
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry


def run_command(registry: AdapterRegistry, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["--data-dir", str(registry.root.parent), *arguments])
    return result.exit_code, result.output


def test_list_use_rollback_and_verify(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    assert run_command(registry, "list") == (
        1,
        f"Error: There are no adapters in {registry.root}: `ucoder train run` makes and publishes one.\n",
    )
    first, second = publish(), publish()
    code, output = run_command(registry, "list")
    assert code == 0
    assert f"  {first.version}" in output
    assert f"* {second.version}" in output
    assert "pass@1 0.25" in output
    assert run_command(registry, "rollback") == (0, f"Serving {first.version} again.\n")
    assert registry.current() == first
    assert run_command(registry, "use", second.version) == (0, f"Serving {second.version}.\n")
    assert run_command(registry, "use", "base") == (0, "Serving the base model alone.\n")
    assert registry.current() is None
    assert run_command(registry, "verify")[0] == 0
    code, output = run_command(registry, "use", "0042-none")
    assert code == 1
    assert output.startswith("Error: There is no adapter '0042-none'")
    assert run_command(registry, "--base", "ffff", "list")[0] == 1


@pytest.mark.parametrize("how", DAMAGES)
def test_every_command_works_beside_a_damaged_version(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], adapter_file: Path, how: str
) -> None:
    good, bad = publish(), publish()
    other = AdapterRegistry(registry.root, "cd" * 32)
    damage(other.publish(adapter_file, base_name="b", training_run="r", metrics={}), how)
    damage(bad, how)
    code, output = run_command(registry, "--base", "ab", "list")
    assert code == 0
    assert f"  {good.version}  " in output
    (line,) = [line for line in output.splitlines() if line.startswith(f"* {bad.version}")]
    assert ("ucoder adapters rollback" in line) or "remove that folder" in line
    assert "There is no adapter" not in output
    code, output = run_command(registry, "--base", "ab", "verify")
    assert f"{good.version}: intact" in output
    assert code == (0 if how == "folder" else 1)
    assert run_command(registry, "--base", "ab", "use", good.version)[0] == 0
    assert run_command(registry, "--base", "ab", "rollback") == (0, "Serving the base model alone again.\n")
    assert run_command(registry, "--base", "ab", "use", bad.version)[0] == 1
    assert run_command(registry, "--base", "cd" * 32, "rollback")[0] == 0
    assert other.current() is None


@pytest.mark.parametrize("how", DAMAGES)
def test_a_registry_with_only_a_damaged_version_can_serve_the_base_model(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], how: str
) -> None:
    damage(publish(), how)
    assert run_command(registry, "list")[0] == 0
    assert run_command(registry, "use", "base") == (0, "Serving the base model alone.\n")
    assert registry.current() is None


def test_versions_are_listed_when_current_json_is_damaged(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    """The message suggests `use VERSION`, so the versions must be visible."""
    version = publish()
    (registry.folder / "current.json").write_text("{")
    code, output = run_command(registry, "list")
    assert code == 0
    assert "delete it, then run `ucoder adapters use VERSION`" in output
    assert f"  {version.version}  " in output


def test_several_base_models_require_the_option_base(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], adapter_file: Path
) -> None:
    publish()
    other = AdapterRegistry(registry.root, "cd" * 32)
    other.publish(adapter_file, base_name="b", training_run="r", metrics={})
    code, output = run_command(registry, "list")
    assert code == 1
    assert "--base (abababababab, cdcdcdcdcdcd)" in output
    assert run_command(registry, "--base", "cd", "list")[0] == 0
