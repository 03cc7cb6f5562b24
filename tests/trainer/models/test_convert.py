"""A Hugging Face folder as a GGUF file. Its logits are compared in test_export.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny_gguf
from trainer.errors import BaseModelError
from trainer.models.base import prepare_base
from trainer.models.convert import convert_folder


def test_truncated_weights_are_reported_in_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the train extra")
    folder = prepare_base(tiny_gguf.write_model(tmp_path / "tiny.gguf"), tmp_path / "cache").folder
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BaseModelError, match=r"model.safetensors cannot be read .*download it again"):
        convert_folder(folder, tmp_path / "out.gguf")
