"""Real GGUF models and LoRA adapters, small enough for fast tests.

The weights are random, but everything else is as in real models: the Llama and the Qwen2 architecture, grouped-query
attention, the gpt2 tokenizer with a byte-level BPE vocabulary, Qwen's fill-in-the-middle tokens under their real names.
Weights are float32, so that the same row computed alone or in a batch differs by rounding only.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, KV_HEADS, FEED_FORWARD, LAYERS = 64, 4, 2, 128, 2
HEAD = WIDTH // HEADS
N_CTX_TRAIN = 1024
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<spare>")
FIM = (
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
MERGES = ("r e", "re t", "u r", "ret ur", "retur n", "Ġ return", "Ġ n", "d e", "de f")
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def byte_letters() -> list[str]:
    """Return the printable letter that the gpt2 tokenizer writes for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters, extra = [], 0
    for byte in range(256):
        if byte in plain:
            letters.append(chr(byte))
        else:
            letters.append(chr(256 + extra))
            extra += 1
    return letters


def write_model(
    path: Path,
    *,
    architecture: str = "llama",
    fim: tuple[str, ...] = (),
    fim_ids: bool = False,
    seed: int = 0,
) -> Path:
    """Write a model of `llama` or `qwen2` architecture with random weights.

    Args:
        fim: names of fill-in-the-middle tokens, marked as ordinary text as some conversions do.
        fim_ids: name prefix, middle and suffix in the metadata (llama.cpp recognises Qwen's by their names).
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(HEAD)
    n_vocab = _add_vocabulary(writer, fim)
    if fim_ids:
        for key, token in zip(("pre", "mid", "suf"), range(n_vocab - len(fim), n_vocab), strict=False):
            writer.add_uint32(f"tokenizer.ggml.fim_{key}_token_id", token)
    for name, shape in model_shapes(n_vocab, architecture).items():
        writer.add_tensor(name, _weights(name, shape, seed))
    return _write(writer, path)


def model_shapes(n_vocab: int, architecture: str) -> dict[str, tuple[int, ...]]:
    """Return the tensor names and shapes (out, in) of the model."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (n_vocab, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (n_vocab, WIDTH),
    }
    for i in range(LAYERS):
        block = {
            "attn_norm.weight": (WIDTH,),
            "attn_q.weight": (HEADS * HEAD, WIDTH),
            "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
            "attn_v.weight": (KV_HEADS * HEAD, WIDTH),
            "attn_output.weight": (WIDTH, HEADS * HEAD),
            "ffn_norm.weight": (WIDTH,),
            "ffn_gate.weight": (FEED_FORWARD, WIDTH),
            "ffn_up.weight": (FEED_FORWARD, WIDTH),
            "ffn_down.weight": (WIDTH, FEED_FORWARD),
        }
        if architecture == "qwen2":
            block |= {f"attn_{x}.bias": (block[f"attn_{x}.weight"][0],) for x in "qkv"}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    return shapes


def write_adapter(
    path: Path, *, seed: int, architecture: str = "llama", rank: int = 4, strength: float = 1.0
) -> Path:
    """Write a LoRA adapter on all attention and feed-forward weights.

    By default it is strong enough to change the generated text.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    random = np.random.default_rng(seed)
    for name, shape in model_shapes(8, architecture).items():
        if name.startswith("blk.") and len(shape) == 2:
            a = random.normal(0, 1 / np.sqrt(shape[1]), (rank, shape[1]))
            b = random.normal(0, strength, (shape[0], rank))
            writer.add_tensor(f"{name}.lora_a", a.astype(np.float32))
            writer.add_tensor(f"{name}.lora_b", b.astype(np.float32))
    return _write(writer, path)


def _add_vocabulary(writer: gguf.GGUFWriter, fim: tuple[str, ...]) -> int:
    text = byte_letters() + [m.replace(" ", "") for m in MERGES]
    tokens, n_text = [*text, *SPECIAL, *fim], len(text)
    normal, control = int(gguf.TokenType.NORMAL), int(gguf.TokenType.CONTROL)
    types = [normal] * n_text + [control] * len(SPECIAL) + [normal] * len(fim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(n_text)
    writer.add_eos_token_id(n_text + 2)
    writer.add_pad_token_id(n_text)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    return len(tokens)


def _weights(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if name.endswith("norm.weight"):
        return np.ones(shape, np.float32)
    random = np.random.default_rng([seed, *name.encode()])
    if name == "output.weight":
        scale = 2.0 / np.sqrt(WIDTH)  # logits with a standard deviation of 2: neither flat nor certain
    elif name == "token_embd.weight" or name.endswith("bias"):
        scale = 1.0
    else:
        scale = 1.5 / np.sqrt(shape[-1])
    return random.normal(0, scale, shape).astype(np.float32)


def _write(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
