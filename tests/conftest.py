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


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, prepared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirect the user's directories, and remove UCODER_* variables."""
    for name in [name for name in os.environ if name.startswith("UCODER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name.lower()))
    monkeypatch.setenv("UCODER_CACHE_DIR", str(prepared_cache))
