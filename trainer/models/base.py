"""Prepares a base model for training and serving.

It is a Hugging Face folder or a GGUF file.

A GGUF base is dequantised once to a Hugging Face folder, which is cached under the hash of the file (538 MB in float32
for the embedded model). A Hugging Face base is converted once to GGUF, in the same way. Both are written aside and
renamed, so that an incomplete one is never visible. Nothing is downloaded: a base is a path on this machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import BaseModelError, MissingExtraError, disk_errors, library_errors
from trainer.hardware import computes_in_bfloat16
from trainer.models.convert import convert_folder, read_config
from trainer.models.export import architecture_of
from ucoder_lsp.files import aside_of, remove, remove_abandoned, sync_folder, sync_tree

if TYPE_CHECKING:
    from torch.nn import Module

GGUF_MAGIC = b"GGUF"
LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "gguf")
"""Libraries of the train extra that training imports."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model in both its forms."""

    folder: Path
    """Hugging Face folder, for training."""
    gguf: Path
    """GGUF file, for sampling and serving."""

    @property
    def config(self) -> dict[str, Any]:
        """The content of the base's `config.json`."""
        return read_config(self.folder)


def require_libraries(*, four_bit: bool) -> None:
    """Check, before a night of sampling, that the libraries for training are installed.

    NF4 (`four_bit`) needs bitsandbytes. Its CPU path works too, at about 60 % of the speed.

    Raises:
        MissingExtraError: the train extra is missing.
        BaseModelError: bitsandbytes is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in LIBRARIES):
        raise MissingExtraError
    if four_bit and importlib.util.find_spec("bitsandbytes") is None:
        raise BaseModelError("QLoRA needs bitsandbytes; in a clone of UCoder run: pip install '.[gpu]'")


def prepare_base(base: Path, cache: Path, served: Path | None = None) -> Base:
    """Return both forms of `base`; a missing form is made under `cache`.

    `served` is a GGUF file of the same model to sample and serve instead of a converted one (a quantized file, or one
    made by llama.cpp's own converter). Needs the train extra.

    Raises:
        BaseModelError: the base or `served` cannot be read, or they are different models.
        ExportError: an adapter of this architecture could not be exported.
        StoreError: the disk is full or not writable.
    """
    if served is not None:
        _require_gguf(served, "a GGUF file of the base")
    folder = base
    if not base.is_dir():
        _require_gguf(base, "a GGUF file or a Hugging Face model folder")
        folder = _once(cache, f"hf-{file_hash(base)[:16]}", lambda out: _dequantise(base, out))
    config = read_config(folder)
    architecture_of(config)
    if served is not None:
        _require_same_model(served, config)
    elif base.is_dir():
        name = f"gguf-{folder_hash(base)[:16]}.gguf"
        served = _once(cache, name, lambda out: convert_folder(base, out))
    return Base(folder, served or base)


def file_hash(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BaseModelError(f"{path} cannot be read: {error.strerror or error}.") from error


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 over names and contents of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".jinja", ".txt"}:
            digest.update(f"{path.name}\0{file_hash(path)}\0".encode())
    return digest.hexdigest()


def load_for_training(folder: Path, *, four_bit: bool = False) -> Module:
    """Load the model in `folder` for training.

    In float32, or with `four_bit` in NF4 with double quantization (QLoRA).
    """
    require_libraries(four_bit=four_bit)
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": torch.float32}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if computes_in_bfloat16() else torch.float32,
        )
    model: Module = AutoModelForCausalLM.from_pretrained(folder, **options)
    return model


def _require_gguf(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise BaseModelError(f"{path} does not exist: give {wanted}.")
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise BaseModelError(f"{path} is not a GGUF file: give {wanted}.")


def _require_same_model(served: Path, config: dict[str, Any]) -> None:
    """Refuse a served file that the adapter of this base would not fit."""
    wanted = {
        "architecture": architecture_of(config).gguf_name,
        "block_count": config["num_hidden_layers"],
        "embedding_length": config["hidden_size"],
    }
    for key, found in _gguf_shape(served).items():
        if found != wanted[key]:
            raise BaseModelError(
                f"{served} is a different model from the base: its {key} is {found}, not {wanted[key]}. Convert the "
                "base itself with llama.cpp's convert_hf_to_gguf.py."
            )


def _gguf_shape(gguf_file: Path) -> dict[str, Any]:
    """Read architecture, layers and width of a GGUF model, within a second."""
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError from error
    try:
        fields = gguf.GGUFReader(gguf_file).fields
        kind = fields["general.architecture"].contents()
        found = {key: fields.get(f"{kind}.{key}") for key in ("block_count", "embedding_length")}
        return {"architecture": kind, **{key: f and f.contents() for key, f in found.items()}}
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise BaseModelError(f"{gguf_file} is a damaged GGUF file ({error}): download it again.") from error


def _once(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return `cache/name`, made if missing.

    `make(path)` writes it aside, and it is renamed when complete.
    """
    final = cache / name
    if final.exists():
        return final
    aside = aside_of(final)
    with disk_errors(cache), library_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        try:
            make(aside)
            sync_tree(aside)
            aside.rename(final)
        except OSError:
            if not final.exists():  # otherwise another run made the same one meanwhile
                raise
        finally:
            remove(aside)
        sync_folder(cache)
    return final


def _dequantise(gguf_file: Path, out: Path) -> None:
    """Write the GGUF model as a float32 Hugging Face folder."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError from error
    # Refuse an unknown architecture within a second, before transformers spends minutes on it or fails.
    architecture_of({"model_type": _gguf_shape(gguf_file)["architecture"]})

    where = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except (OSError, ValueError) as error:  # for anything that transformers cannot read, in many lines
        what = str(error).partition("\n")[0]
        raise BaseModelError(
            f"{gguf_file} cannot be loaded ({what}): give the model as a Hugging Face folder."
        ) from error
    # The weights are plain floats by now, but the model is still marked as quantized, and TRL refuses to train
    # such a model ("do not support training").
    for owner, mark in (
        (model.config, "quantization_config"),
        (model, "hf_quantizer"),
        (model, "is_quantized"),
        (model, "quantization_method"),
    ):
        if hasattr(owner, mark):
            delattr(owner, mark)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    if "quantization_config" in config:
        raise BaseModelError(
            f"{gguf_file} is still marked as quantized after loading: give a folder instead."
        )
