"""Makes small models with random weights in the shapes of real ones."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np

from trainer.models.convert import QWEN2_SPLIT

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
]
VOCABULARY = 512


def write_tokenizer(folder: Path, kind: str) -> None:
    """Write a byte-level BPE tokenizer of `VOCABULARY` tokens with the splitting rule of the real family."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if kind == "qwen2":
        first: Any = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
        second = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    else:
        first = pre_tokenizers.Digits(individual_digits=True)
        second = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, second])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_model(folder: Path, kind: str) -> Path:
    """Write a random model in the shape of SmolLM2-135M ("llama") or Qwen2.5-Coder-0.5B ("qwen2")."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(7)
    common = {
        "vocab_size": VOCABULARY,
        "num_hidden_layers": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.05,
    }
    if kind == "llama":
        config = LlamaConfig(
            hidden_size=576,
            intermediate_size=1536,
            num_attention_heads=9,
            num_key_value_heads=3,
            rope_theta=100000.0,
            **common,
        )
        model: Any = LlamaForCausalLM(config)
    else:
        config = Qwen2Config(
            hidden_size=896,
            intermediate_size=1024,
            num_attention_heads=14,
            num_key_value_heads=2,
            rope_theta=1000000.0,
            **common,
        )
        model = Qwen2ForCausalLM(config)
        for name, parameter in model.named_parameters():
            if name.endswith("proj.bias"):  # initialised to zero, which would hide a wrong order of rows
                torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    write_tokenizer(folder, kind)
    return folder


def random_adapter(folder: Path, out: Path, **settings: Any) -> tuple[Path, Any]:
    """Write a PEFT adapter with random A and B on all linear layers; return its folder and the adapted model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    model = get_peft_model(base, config)
    torch.manual_seed(11)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(out)
    return out, model.eval()


def llama_cpp_logits(gguf: Path, tokens: list[int], adapter: Path | None = None) -> np.ndarray:
    """Compute the logits of every position (n_tokens x n_vocabulary) with llama.cpp."""
    import llama_cpp as lib

    model_options = lib.llama_model_default_params()
    model_options.use_mmap = True
    # The repacked kernels quantize activations; plain ones keep the comparison exact for float weights.
    model_options.use_extra_bufts = False
    model = lib.llama_model_load_from_file(str(gguf).encode(), model_options)
    assert model, gguf
    options = lib.llama_context_default_params()
    options.n_ctx = 256
    options.n_threads = options.n_threads_batch = 2
    # Flash attention keeps keys and values in half precision; both are off to compare the adapter alone.
    options.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    options.type_k = options.type_v = lib.GGML_TYPE_F32
    context = lib.llama_init_from_model(model, options)
    assert context
    if adapter is not None:
        loaded = lib.llama_adapter_lora_init(model, str(adapter).encode())
        assert loaded, adapter
        handles = (lib.llama_adapter_lora_p_ctypes * 1)(loaded)
        scales = (ctypes.c_float * 1)(1.0)
        assert lib.llama_set_adapters_lora(context, handles, 1, scales) == 0
    n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index] = token, index
        batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, 0, 1
    assert lib.llama_decode(context, batch) == 0
    rows = [
        np.ctypeslib.as_array(lib.llama_get_logits_ith(context, index), shape=(n_vocab,)).copy()
        for index in range(len(tokens))
    ]
    lib.llama_batch_free(batch)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return np.stack(rows)
