"""An exported adapter gives the same logits in llama.cpp as in PEFT; others are refused before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import ExportError
from trainer.models.export import check_exportable, export_adapter, permute_rows

LLAMA = {"model_type": "llama", "tie_word_embeddings": True}
TOKENS = [70, 101, 33, 300, 5, 17, 400, 256, 77, 9, 310, 128]
TOLERANCE = 2e-3
"""Largest difference of a logit, as a share of the largest change the adapter makes to any logit."""


# peft 0.21 reads this attribute of transformers 5.23 by its old name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize(
    "settings",
    [
        {"r": 8, "lora_alpha": 16},
        {"r": 16, "lora_alpha": 8, "use_rslora": True},
        {"r": 8, "lora_alpha": 16, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"down_proj": 40}},
        {
            "r": 8,
            "lora_alpha": 16,
            "alpha_pattern": {r"layers\.0\..*q_proj": 40, "q_proj": 4},
        },
    ],
    ids=["plain", "rslora", "patterns", "regular expressions"],
)
def test_logits_match_peft(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    pytest.importorskip("peft", reason="needs the train extra")
    import torch

    from tests.trainer.tiny_models import llama_cpp_logits, random_adapter, write_model
    from trainer.models.convert import convert_folder

    base = write_model(tmp_path / "base", kind)
    adapter, model = random_adapter(base, tmp_path / "adapter", **settings)
    with torch.no_grad():
        adapted = model(torch.tensor([TOKENS])).logits[0].numpy()
        with model.disable_adapter():
            plain = model(torch.tensor([TOKENS])).logits[0].numpy()
    convert_folder(base, tmp_path / "base.gguf", dtype="f32")
    export_adapter(adapter, json.loads((base / "config.json").read_text()), tmp_path / "adapter.gguf")

    change = np.abs(adapted - plain).max()
    assert change > 0.5, "an adapter without effect would prove nothing"
    served_plain = llama_cpp_logits(tmp_path / "base.gguf", TOKENS)
    served = llama_cpp_logits(tmp_path / "base.gguf", TOKENS, tmp_path / "adapter.gguf")
    assert np.abs(served_plain - plain).max() < TOLERANCE * change
    assert np.abs(served - adapted).max() < TOLERANCE * change


@pytest.mark.parametrize(
    ("adapter", "base", "message"),
    [
        ({"use_dora": True}, LLAMA, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, LLAMA, "modules_to_save"),
        ({"target_modules": ["q_proj", "lm_head"]}, LLAMA, "tied"),
        ({"target_modules": ["embed_tokens"]}, LLAMA, "embeddings"),
        ({"bias": "all"}, LLAMA, "bias"),
        ({"init_lora_weights": "pissa"}, LLAMA, "pissa"),
        ({}, {"model_type": "mamba"}, "'mamba'"),
        ({}, {}, "'None'"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_in_one_sentence(
    adapter: dict[str, Any], base: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError) as error:
        check_exportable(adapter, base)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_plain_and_rank_stabilised_lora_are_accepted() -> None:
    for settings in ({"r": 16}, {"use_rslora": True, "target_modules": ["q_proj"]}):
        assert check_exportable(settings, LLAMA).permutes_qk
    assert not check_exportable({}, {"model_type": "qwen2"}).permutes_qk


@given(heads=st.integers(1, 6), half=st.integers(1, 8), columns=st.integers(1, 4))
def test_permutation_interleaves_the_halves_of_each_head(heads: int, half: int, columns: int) -> None:
    rows = heads * 2 * half
    weight = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    permuted = permute_rows(weight, heads)
    for head in range(heads):
        for pair in range(half):
            first = head * 2 * half
            assert (permuted[first + 2 * pair] == weight[first + pair]).all()
            assert (permuted[first + 2 * pair + 1] == weight[first + half + pair]).all()
