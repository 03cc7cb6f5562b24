"""Exports a PEFT LoRA adapter as the GGUF file that llama.cpp loads beside its base model.

Tensor names come from the `gguf` package's own map. Two things a plain copy would get wrong:

* llama.cpp stores the rows of q and k of Llama-shaped models in another order (rotary pairs interleaved). The rows of
  B are added to those rows, so they are permuted the same way. Qwen2 keeps its order.
* llama.cpp scales by alpha / rank. rsLoRA scales by alpha / sqrt(rank), so alpha * sqrt(rank) is written. Where a
  tensor has its own rank or alpha, the rest of its scale is folded into its B.

Not supported: DoRA, fully trained modules (`modules_to_save`), biases, adapted embeddings or tied output heads.
llama.cpp cannot express them, so `check_exportable` refuses them before anything is trained.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import BaseModelError, ExportError, MissingExtraError, disk_errors
from ucoder_lsp.files import aside_of, sync_file

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Architecture:
    """The layout of one Hugging Face model type in GGUF."""

    gguf_name: str
    permutes_qk: bool


ARCHITECTURES = {
    "llama": Architecture("llama", permutes_qk=True),
    "qwen2": Architecture("qwen2", permutes_qk=False),
}
"""Model types whose exported logits a test compares with PEFT's. Add one together with its test."""

UNSUPPORTED = {
    "use_dora": "DoRA changes the norm of the weights",
    "modules_to_save": "modules_to_save trains whole modules",
    "lora_bias": "lora_bias adds a bias",
    "layer_replication": "layer_replication changes the number of layers",
    "trainable_token_indices": "trainable_token_indices trains embeddings",
    "target_parameters": "target_parameters adapts tensors that are not linear layers",
    "alora_invocation_tokens": "an activated LoRA needs its invocation tokens at run time",
    "use_qalora": "QALoRA groups its inputs",
    "use_bdlora": "a block-diagonal LoRA has other shapes",
    "arrow_config": "Arrow routes among several adapters",
    "fan_in_fan_out": "fan_in_fan_out stores transposed weights",
}


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Return the GGUF layout for `config.json`, or raise `ExportError`."""
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise ExportError(
            f"The exporter does not support the architecture {kind!r}: use a base of type "
            f"{' or '.join(sorted(ARCHITECTURES))} (Llama-shaped or Qwen2-shaped)."
        )
    return ARCHITECTURES[kind]


def check_exportable(adapter: Mapping[str, Any], base: Mapping[str, Any]) -> Architecture:
    """Refuse, before training, an adapter that could not be served.

    `adapter` is the content of `adapter_config.json` (or `LoraConfig.to_dict()`), `base` that of the base's
    `config.json`. Returns the layout.

    Raises:
        ExportError: llama.cpp could not serve such an adapter.
    """
    architecture = architecture_of(base)
    for key, why in UNSUPPORTED.items():
        if adapter.get(key):
            raise ExportError(f"{key} cannot be exported to GGUF ({why}): train a plain LoRA without it.")
    if adapter.get("bias", "none") != "none":
        raise ExportError("Trained biases cannot be exported to GGUF: set bias='none'.")
    if adapter.get("init_lora_weights", True) not in (True, False, "gaussian", "orthogonal"):
        raise ExportError(
            f"init_lora_weights={adapter['init_lora_weights']!r} changes the base weights, which are served "
            "unchanged: leave it at its default."
        )
    targets = adapter.get("target_modules") or ()
    for target in [targets] if isinstance(targets, str) else targets:
        if target.endswith("embed_tokens"):
            raise ExportError("Adapted embeddings cannot be exported to GGUF: leave embed_tokens out.")
        if target.endswith("lm_head") and base.get("tie_word_embeddings"):
            raise ExportError(
                "The output head of this base is tied to its embeddings and cannot be adapted alone: leave "
                "lm_head out of target_modules."
            )
    return architecture


def export_adapter(adapter_dir: Path, base_config: Mapping[str, Any], out: Path) -> None:
    """Write the PEFT adapter in `adapter_dir` as the GGUF file `out`.

    `base_config` is the base model's `config.json`. Tensors are float32: `lora_a` is r x in, `lora_b` is out x r.

    Raises:
        ExportError: llama.cpp could not serve the adapter; nothing is written.
        StoreError: the disk is full or not writable.
    """
    try:
        import gguf  # noqa: F401  # fail early if it is missing
        import peft  # noqa: F401
        from safetensors.torch import load_file  # numpy has no bfloat16, in which QLoRA trains
    except ImportError as error:
        raise MissingExtraError from error

    # 1. Read and check.
    adapter = json.loads((adapter_dir / "adapter_config.json").read_text())
    architecture = check_exportable(adapter, base_config)
    loaded = load_file(adapter_dir / "adapter_model.safetensors")
    weights = {name: tensor.float().numpy() for name, tensor in loaded.items()}
    pairs = _pairs(weights, int(base_config["num_hidden_layers"]), architecture)

    # 2. One alpha for the file; each pair's remaining scale goes into its B.
    alpha = _file_alpha(adapter)
    tensors: dict[str, Array] = {}
    for name, (module, a, b) in sorted(pairs.items()):
        factor = _peft_scale(adapter, module, a.shape[0]) / (alpha / a.shape[0])
        scaled = b if math.isclose(factor, 1.0, rel_tol=1e-9) else b * np.float32(factor)
        if architecture.permutes_qk and name.endswith(("attn_q.weight", "attn_k.weight")):
            scaled = permute_rows(scaled, _heads(base_config, name))
        tensors[f"{name}.lora_a"] = np.ascontiguousarray(a, dtype=np.float32)
        tensors[f"{name}.lora_b"] = np.ascontiguousarray(scaled, dtype=np.float32)

    # 3. Write aside, then rename, so that an incomplete file is never visible.
    aside = aside_of(out)
    try:
        with disk_errors(out.parent):
            _write(aside, architecture, alpha, tensors)
            sync_file(aside)
            os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)


def _write(path: Path, architecture: Architecture, alpha: float, tensors: Mapping[str, Array]) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, architecture.gguf_name)
    writer.add_string(gguf.Keys.General.TYPE, gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute_rows(weight: Array, n_heads: int) -> Array:
    """Reorder the rows of a q or k weight for llama.cpp.

    `weight` is out x anything, in Hugging Face's order. Within each head, Hugging Face stores the two halves of the
    rotary pairs apart, and llama.cpp interleaves them (`LlamaModel.permute` in llama.cpp's convert_hf_to_gguf.py).
    """
    rows = weight.shape[0]
    split = weight.reshape(n_heads, 2, rows // n_heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weight.shape))


def _pairs(
    weights: Mapping[str, Array], n_layers: int, architecture: Architecture
) -> dict[str, tuple[str, Array, Array]]:
    """Return (PEFT module path, A, B) by GGUF tensor name.

    A is r x in, B is out x r.
    """
    import gguf

    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture.gguf_name]
    names = gguf.get_tensor_name_map(arch, n_layers)
    pairs: dict[str, tuple[str, Array, Array]] = {}
    for key, a in weights.items():
        module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        if key.endswith(".lora_B.weight"):
            continue
        partner = key.replace(".lora_A.weight", ".lora_B.weight")
        name = names.get_name(module, try_suffixes=(".weight",))
        if not key.endswith(".lora_A.weight") or partner not in weights or name is None:
            raise ExportError(
                f"The adapter holds {key!r}, which has no place in a GGUF adapter: train LoRA on the linear "
                "layers of the base only."
            )
        pairs[f"{name}.weight"] = (module, a.astype(np.float32), weights[partner].astype(np.float32))
    if not pairs:
        raise ExportError("The adapter holds no LoRA weights: was it trained and saved?")
    return pairs


def _file_alpha(adapter: Mapping[str, Any]) -> float:
    alpha, rank = float(adapter["lora_alpha"]), int(adapter["r"])
    return alpha * math.sqrt(rank) if adapter.get("use_rslora") else alpha


def _peft_scale(adapter: Mapping[str, Any], module: str, rank: int) -> float:
    """Return the factor that PEFT applies to B @ A of this module."""
    from peft.utils.other import get_pattern_key

    patterns = adapter.get("alpha_pattern") or {}
    alpha = float(patterns.get(get_pattern_key(patterns, module), adapter["lora_alpha"]))
    return alpha / math.sqrt(rank) if adapter.get("use_rslora") else alpha / rank


def _heads(base: Mapping[str, Any], tensor: str) -> int:
    heads = int(base["num_attention_heads"])
    if tensor.endswith("attn_k.weight"):
        return int(base.get("num_key_value_heads") or heads)
    if heads <= 0:
        raise BaseModelError("config.json of the base has no num_attention_heads: download the base again.")
    return heads
