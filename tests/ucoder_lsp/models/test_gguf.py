"""The requantized files: complete or not at all, made again when damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.prepare import prepare_model


@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "record"])
def test_a_damaged_prepared_file_is_made_again(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    model = prepare_model(tiny_model, tmp_path, quantization="q8_0")
    good = model.path.read_bytes()
    if damage == "cut":
        model.path.write_bytes(good[:-100])
    elif damage == "bit":
        model.path.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    elif damage == "gone":
        model.path.unlink()
    else:
        model.path.with_suffix(".json").write_text("{")
    assert prepare_model(tiny_model, tmp_path, quantization="q8_0").path.read_bytes() == good


def test_a_cut_file_is_one_clear_sentence_and_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:30_000])
    with pytest.raises(ModelError, match="Cannot prepare the model"):
        prepare_model(cut, tmp_path / "cache", quantization="q8_0")
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ModelError, match=r"it needs 1 MiB.*free some space"):
        prepare_model(tiny_model, tmp_path, quantization="q8_0")
    assert not list((tmp_path / "models").iterdir())


def test_a_write_that_fails_midway_is_one_clear_sentence(tiny_model: Path, tmp_path: Path) -> None:
    """The failure is a real one inside llama.cpp's writer.

    The process may not write files above 100 kB.
    """
    code = (
        "import resource, sys; from pathlib import Path; from ucoder_lsp.models.errors import ModelError\n"
        "from ucoder_lsp.models.prepare import prepare_model\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: prepare_model(Path(sys.argv[1]), Path(sys.argv[2]), quantization='q8_0')\n"
        "except ModelError as error: print(error)"
    )
    arguments = [sys.executable, "-c", code, str(tiny_model), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Cannot prepare the model in")
    assert "Free some space" in done.stdout
    assert done.stderr == ""
    assert not list((tmp_path / "models").iterdir())


def test_remains_of_a_killed_preparation_are_removed(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    dead = folder / f".x.gguf.{gone.stdout.strip()}.part"
    alive = folder / f".y.gguf.{os.getppid()}.part"
    dead.write_text("")
    alive.write_text("")
    prepare_model(tiny_model, tmp_path, quantization="q8_0")
    assert not dead.exists()
    assert alive.exists()
