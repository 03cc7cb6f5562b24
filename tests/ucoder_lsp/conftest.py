"""The models of the tests.

Tiny ones have random weights; slow tests use the embedded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tiny_gguf
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.models.prepare import PreparedModel, prepare_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_model(tmp_path_factory.mktemp("tiny") / "llama.gguf")


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_model(
        tmp_path_factory.mktemp("tiny") / "qwen2.gguf", architecture="qwen2", fim=tiny_gguf.FIM
    )


@pytest.fixture(scope="session")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine.load(tiny_model, n_ctx=512, k_max=8, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return prepare_model(None, tmp_path_factory.mktemp("cache"))
