"""The manifest of an adapter version: its origin and file hashes.

This module owns the format of `manifest.json`. It does not decide which version is served (`registry` does).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.adapters.errors import WAY_OUT, AdapterError
from ucoder_lsp.files import file_sha256, from_json, sync_file, to_json

FORMAT = 1
ADAPTER_FILE = "adapter.gguf"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The origin and the files of one version."""

    version: str
    base_sha256: str
    """Of the base model's source file (`PreparedModel.source_sha256`)."""
    base_name: str
    created: str
    """UTC, ISO 8601."""
    parents: tuple[str, ...]
    """Versions that its training started from or sampled data with."""
    training_run: str
    """Name of the run folder that made it."""
    metrics: dict[str, float]
    """The measurements that the adapter was accepted with."""
    files: dict[str, str]
    """Path inside the version's folder to SHA-256."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """A published adapter."""

    folder: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """The name in the registry, such as `0003-1f0c5d2a`.

        It is a running number and the start of the adapter's hash.
        """
        return self.manifest.version

    @property
    def path(self) -> Path:
        """The file for `Engine.load_adapter`."""
        return self.folder / ADAPTER_FILE

    @property
    def identity(self) -> str:
        """The name for requests and cache keys.

        It contains the hash of the content.
        """
        return f"{self.version}@{self.manifest.files[ADAPTER_FILE]}"

    def verify(self) -> None:
        """Compare every file with its hash in the manifest.

        Raises:
            AdapterError: a file is missing or changed.
        """
        for name, sha256 in self.manifest.files.items():
            path = self.folder / name
            try:
                intact = file_sha256(path) == sha256
            except OSError as error:
                raise AdapterError(
                    f"Adapter {self.version} cannot be read ({path}: {error.strerror}): {WAY_OUT}"
                ) from error
            if not intact:
                raise AdapterError(
                    f"Adapter {self.version} is damaged ({name} is not what was published): {WAY_OUT}"
                )


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest in a version's folder.

    Raises:
        AdapterError: it is damaged, of another format, or describes another folder.
    """
    path = folder / MANIFEST_FILE
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise AdapterError(
                f"Adapter {folder.name} has format {data['format']}, this version of ucoder reads "
                f"{FORMAT}: upgrade ucoder."
            )
        manifest = from_json(data, Manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"The manifest of adapter {folder.name} is damaged ({path}: {error}): remove that folder, "
            "or publish the adapter again."
        ) from error
    if manifest.version != folder.name or ADAPTER_FILE not in manifest.files:
        raise AdapterError(
            f"The manifest in {folder} does not describe that folder: remove it, or publish again."
        )
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in manifest.files):
        raise AdapterError(f"The manifest in {folder} names files outside it: remove that folder.")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write and sync the manifest of an unpublished version."""
    path = folder / MANIFEST_FILE
    path.write_text(to_json(manifest), "utf-8")
    sync_file(path)
