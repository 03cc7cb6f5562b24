"""Keep every test away from the user's home and settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No example has a time limit: on a busy machine a single one may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def prepared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Share one cache directory, so that the embedded model is prepared once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def models_here(request: pytest.FixtureRequest) -> Path:
    """A data folder with Qwen2.5-Coder-0.5B, fetched once as `ucoder models get` does.

    The folder is in the repository's .venv. Tests that need it are skipped where the model cannot be had.
    """
    from ucoder_lsp.models.catalogue import load_catalogue
    from ucoder_lsp.models.errors import ModelError
    from ucoder_lsp.models.sources.fetch import fetch, sources
    from ucoder_lsp.models.sources.types import NoMeter

    data = request.config.rootpath / ".venv" / "test-models"
    entries, _ = load_catalogue(data)
    mirror = os.environ.get("UCODER_MODELS_MIRROR", "")
    try:
        fetch(entries["qwen2.5-coder-0.5b"], data, sources("", mirror), NoMeter(), lambda text: None)
    except ModelError as error:
        pytest.skip(str(error))
    return data


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, prepared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirect the user's directories, and remove UCODER_* variables."""
    for name in [name for name in os.environ if name.startswith("UCODER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name.lower()))
    monkeypatch.setenv("UCODER_CACHE_DIR", str(prepared_cache))
