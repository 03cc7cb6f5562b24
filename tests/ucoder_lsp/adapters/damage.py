"""The tests' base model, and ways to damage a published version."""

from __future__ import annotations

import shutil

from ucoder_lsp.adapters.manifest import AdapterVersion

BASE = "ab" * 32


def damage(version: AdapterVersion, how: str) -> None:
    """Damage a version like a disk, a user or an unfinished copy."""
    if how == "bit":
        data = bytearray(version.path.read_bytes())
        data[-1] ^= 1
        version.path.write_bytes(data)
    elif how == "gone":
        version.path.unlink()
    elif how == "manifest":
        (version.folder / "manifest.json").write_text('{"format": 1')
    else:
        shutil.rmtree(version.folder)


DAMAGES = ("bit", "gone", "manifest", "folder")
