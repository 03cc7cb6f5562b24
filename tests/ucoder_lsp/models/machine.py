"""A machine with made-up models, for tests of what is chosen on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ucoder_lsp.models import measured
from ucoder_lsp.config import Settings, config_path
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.files import file_sha256
from ucoder_lsp.models.measurements import Measurement, keep_measurement, read_measurement
from ucoder_lsp.models.served import served_models
from ucoder_lsp.models.store import models_dir, record_verified


class Machine:
    """A data and a cache folder with models of any size in the catalogue."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache")
        self._model = model
        self._catalogue = config_path(os.environ).with_name("models.toml")
        self._catalogue.parent.mkdir(parents=True)

    def install(
        self,
        name: str,
        parameters: int,
        *,
        here: bool = True,
        content: Callable[[bytes], bytes] = lambda whole: whole,
    ) -> Path:
        """Add a model to the catalogue, and its file to the store; every one has another content.

        `content` turns the bytes of the tiny model into those of the file.
        """
        path = models_dir(self.settings.data_dir) / f"{name}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(self._model.read_bytes()) + name.encode())
        sha256 = file_sha256(path)
        with self._catalogue.open("a") as file:
            file.write(
                f'[models."{name}"]\nfile = "{path.name}"\nbytes = {path.stat().st_size}\n'
                f'sha256 = "{sha256}"\nparameters = {parameters}\n'
            )
        if here:
            record_verified(path, sha256, "a test")
        else:
            path.unlink()
        return path

    def measured(self, path: Path, seconds: float, *, n_threads: int = 0, **values: Any) -> None:
        """Keep a record of a model."""
        self.keep(measured.record(file_sha256(path), seconds, **values), n_threads)

    def keep(self, record: Measurement, n_threads: int = 0) -> None:
        keep_measurement(record, self.settings.cache_dir, n_threads or default_threads())

    def record(self, path: Path, n_threads: int) -> Measurement | None:
        return read_measurement(file_sha256(path), self.settings.cache_dir, n_threads)

    def order(self) -> list[str]:
        """Return the names that `auto` would try, without measuring."""
        return [model.name for model in served_models(self.settings, measuring=False).models]
