"""Converts a Hugging Face folder to a GGUF file.

The file can be sampled and served.

Supported are the architectures of the adapter exporter, and byte-level BPE tokenizers whose splitting rule llama.cpp
has by name. For others the error message names llama.cpp's own convert_hf_to_gguf.py: pass its output with `--served`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import BaseModelError, MissingExtraError
from trainer.models.export import Architecture, architecture_of, permute_rows

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED = 1, 3, 4, 5


def convert_folder(folder: Path, out: Path, dtype: str = "f16") -> None:
    """Write the model in `folder` (config.json, safetensors, tokenizer.json) as the GGUF file `out`.

    `dtype` is "f16" or "f32" and applies to matrices; vectors are always float32.

    Raises:
        BaseModelError: the folder is incomplete or damaged, or its tokenizer or rope scaling is not supported.
        ExportError: its architecture is not supported.
    """
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError from error
    config = read_config(folder)
    architecture = architecture_of(config)
    tokenizer = _tokenizer_json(folder)
    pre = _pre_tokenizer(tokenizer)

    writer = gguf.GGUFWriter(out, architecture.gguf_name)
    _add_hyperparameters(writer, config, folder)
    _add_tokenizer(writer, tokenizer, pre, config, folder)
    for name, tensor in _tensors(folder, config, architecture):
        matrix = tensor.ndim > 1 and dtype == "f16"
        writer.add_tensor(name, tensor.astype(np.float16 if matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_config(folder: Path) -> dict[str, Any]:
    """Read the base model's `config.json`; `BaseModelError` where it is missing or damaged."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError as error:
        raise BaseModelError(
            f"{folder} holds no config.json: give a GGUF file or a Hugging Face model folder."
        ) from error
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"{folder / 'config.json'} cannot be read ({error}): download it again."
        ) from error
    if not isinstance(config, dict):
        raise BaseModelError(f"{folder / 'config.json'} is not a JSON object: download it again.")
    return config


def _add_hyperparameters(writer: Any, config: dict[str, Any], folder: Path) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    if (kind := _rope_scaling(config)) is not None:
        raise BaseModelError(
            f"The rope scaling {kind!r} of {folder} is not supported: convert the base with llama.cpp's "
            "convert_hf_to_gguf.py and pass the file with --served."
        )
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_rope_freq_base(float(config.get("rope_theta") or rope.get("rope_theta") or 10000.0))
    writer.add_rope_dimension_count(head_dim)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _rope_scaling(config: dict[str, Any]) -> str | None:
    """Return the kind of rope scaling; None where there is none.

    Reads the notation of transformers 5 (`rope_parameters`) and the older one.
    """
    for key in ("rope_parameters", "rope_scaling"):
        rope = config.get(key) or {}
        kind = rope.get("rope_type") or rope.get("type")
        if kind not in (None, "default"):
            return str(kind)
    return None


def _tokenizer_json(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer.json"
    try:
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"{path} cannot be read: give a folder with a tokenizer.json, or convert the base with "
            "llama.cpp's convert_hf_to_gguf.py and pass the file with --served."
        ) from error
    if not isinstance(tokenizer, dict) or tokenizer.get("model", {}).get("type") != "BPE":
        raise BaseModelError(
            f"{path} is not a byte-level BPE tokenizer: convert the base with llama.cpp's convert_hf_to_gguf.py "
            "and pass the file with --served."
        )
    return tokenizer


def _pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """Return llama.cpp's name for the rule that splits text before merging."""
    pre = tokenizer.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern", {}).get("Regex")
        for name, split in (("qwen2", QWEN2_SPLIT), ("llama-bpe", LLAMA3_SPLIT)):
            if pattern == split:
                return name
    raise BaseModelError(
        f"The tokenizer splits text by an unsupported rule ({'+'.join(map(str, kinds))}): convert the base "
        "with llama.cpp's convert_hf_to_gguf.py and pass the file with --served."
    )


def _add_tokenizer(
    writer: Any, tokenizer: dict[str, Any], pre: str, config: dict[str, Any], folder: Path
) -> None:
    size = config["vocab_size"]
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [TOKEN_UNUSED] * size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, TOKEN_NORMAL
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TOKEN_CONTROL if added["special"] else TOKEN_USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)

    settings = _optional_json(folder / "tokenizer_config.json")
    ids = {token: index for index, token in enumerate(tokens)}
    for name, add in (
        ("eos", writer.add_eos_token_id),
        ("bos", writer.add_bos_token_id),
        ("pad", writer.add_pad_token_id),
    ):
        content = settings.get(f"{name}_token")
        content = content.get("content") if isinstance(content, dict) else content
        index = ids.get(str(content), config.get(f"{name}_token_id"))
        if isinstance(index, int):
            add(index)
    writer.add_add_bos_token(bool(settings.get("add_bos_token", False)))
    template_file = folder / "chat_template.jinja"
    template = template_file.read_text() if template_file.exists() else settings.get("chat_template")
    if isinstance(template, str):
        writer.add_chat_template(template)


def _optional_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content if isinstance(content, dict) else {}


def _tensors(
    folder: Path, config: dict[str, Any], architecture: Architecture
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield the GGUF name and the float32 weight of every tensor.

    A tied output head is left out, as llama.cpp expects.
    """
    import gguf
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture.gguf_name]
    names = gguf.get_tensor_name_map(arch, int(config["num_hidden_layers"]))
    heads = int(config["num_attention_heads"])
    heads_kv = int(config.get("num_key_value_heads") or heads)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError(f"{folder} holds no .safetensors weights: download them, or give a GGUF file.")
    for file in files:
        try:
            weights = load_file(file)
        except (OSError, SafetensorError) as error:
            raise BaseModelError(f"{file} cannot be read ({error}): download it again.") from error
        for key, weight in weights.items():
            if key == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            name = names.get_name(key, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise BaseModelError(
                    f"The base holds a tensor {key!r} that its architecture should not have: use another base."
                )
            array = weight.float().numpy()
            if architecture.permutes_qk and ".attn_q." in name:
                array = permute_rows(array, heads)
            if architecture.permutes_qk and ".attn_k." in name:
                array = permute_rows(array, heads_kv)
            yield name, array
