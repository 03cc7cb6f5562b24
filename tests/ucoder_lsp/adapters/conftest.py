"""An empty registry, and a function that publishes into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tiny_gguf
from tests.ucoder_lsp.adapters.damage import BASE
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry


@pytest.fixture
def registry(tmp_path: Path) -> AdapterRegistry:
    return AdapterRegistry(tmp_path / "adapters", BASE)


@pytest.fixture(scope="session")
def adapter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_adapter(tmp_path_factory.mktemp("adapter") / "a.gguf", seed=1)


@pytest.fixture
def publish(registry: AdapterRegistry, adapter_file: Path) -> Callable[..., AdapterVersion]:
    def run(**options: object) -> AdapterVersion:
        arguments: dict[str, object] = {
            "base_name": "tiny",
            "training_run": "run-1",
            "metrics": {"pass@1": 0.25},
        }
        return registry.publish(adapter_file, **(arguments | options))  # type: ignore[arg-type]

    return run
