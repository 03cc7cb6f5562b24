"""A model on a GPU that draws the next token of many texts at once: one slot of the KV cache per text.

Each text of a batch has its own length and position. So a slot is used again as soon as its text has ended
(continuous batching: Yu et al. 2022, Orca). A step of a small model is mostly the launching of kernels. On a GPU it is
recorded once for each length of the cache (CUDA graphs) and replayed. Three parts of transformers are replaced here,
through its own interfaces: the cache, the attention to it, and the mask.

Imports torch: load it only where sampling on a GPU begins. Not its job: text, requests, threads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, Cache
from transformers import logging as hf_logging
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "ucoder_slots"
CELLS = 128
"""A step attends to the first cells of every slot, a multiple of this. Each multiple has its own recording."""
NUCLEUS = 512
"""The largest size of a nucleus, in tokens. Less probable tokens are never drawn."""
PREFILL_TOKENS = 32_768
"""The largest size of one prefill pass, in tokens with padding."""


class PromptGroup(NamedTuple):
    """Texts that begin with the same prompt."""

    prompt: Sequence[int]
    slots: Sequence[int]
    uniforms: Sequence[Sequence[float]]
    """The random stream of each text: one number in [0, 1) per token."""
    temperature: float
    """0 is greedy."""
    top_p: float


class Slots:
    """Decodes `n` texts in one batch, each with `n_cells` tokens of cache.

    For one thread.
    """

    def __init__(
        self, folder: Path, adapter: Path | None, n: int, n_cells: int, device: str, dtype: torch.dtype
    ) -> None:
        """Load a Hugging Face folder.

        A PEFT adapter is merged into its weights.
        """
        hf_logging.set_verbosity_error()
        hf_logging.disable_progress_bar()
        AttentionInterface.register(ATTENTION, _attend)
        AttentionMaskInterface.register(ATTENTION, _no_mask)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=ATTENTION)
        if adapter is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations between the libraries themselves
                model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        self._model = model.to(device).eval()
        self._device = device
        self._cache = _SlotCache(model.config, n, n_cells, device, dtype)
        self.n, self.n_cells = n, n_cells

        def filled(shape: tuple[int, ...], kind: torch.dtype, value: float = 0) -> torch.Tensor:
            return torch.full(shape, value, dtype=kind, device=device)

        self._tokens = filled((n,), torch.long)
        """The last token of each text, not yet in the cache."""
        self._positions = filled((n,), torch.long)
        """The position of that token."""
        self._drawn = filled((n,), torch.long)
        self._uniforms = filled((n, n_cells), torch.float32)
        self._temperatures = filled((n, 1), torch.float32, 1)
        self._top_p = filled((n, 1), torch.float32, 1)
        self._logprobs = filled((n,), torch.float32)
        self._recorded: dict[int, Callable[[], object]] = {}
        self._pool: Any = None

    @torch.inference_mode()
    def prefill(self, groups: Sequence[PromptGroup]) -> None:
        """Put prompts into their slots, ready to be continued."""
        # 1. All but the last token of each prompt. Padding is overwritten later, or never attended to.
        waiting = sorted(groups, key=lambda group: len(group.prompt))
        while waiting:
            longest = max(2, len(waiting[-1].prompt))
            rows = [waiting.pop() for _ in range(min(len(waiting), max(1, PREFILL_TOKENS // longest)))]
            self._cache.prefill(
                self._integers([row for row, group in enumerate(rows) for _ in group.slots]),
                self._integers([slot for group in rows for slot in group.slots]),
            )
            tokens = [[*group.prompt[:-1], *[0] * (longest - len(group.prompt))] for group in rows]
            self._model(
                input_ids=self._integers(tokens),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )

        # 2. The state of each text: its last token and how it is sampled.
        texts = [
            (slot, group, stream)
            for group in groups
            for slot, stream in zip(group.slots, group.uniforms, strict=True)
        ]
        slots = self._integers([slot for slot, _, _ in texts])
        self._tokens[slots] = self._integers([group.prompt[-1] for _, group, _ in texts])
        self._positions[slots] = self._integers([len(group.prompt) - 1 for _, group, _ in texts])
        self._drawn[slots] = 0
        longest = max(len(stream) for _, _, stream in texts)
        streams = [[*stream, *[0.0] * (longest - len(stream))] for _, _, stream in texts]
        self._uniforms[slots, :longest] = self._floats(streams)
        self._temperatures[slots, 0] = self._floats([group.temperature for _, group, _ in texts])
        self._top_p[slots, 0] = self._floats([group.top_p for _, group, _ in texts])

    @torch.inference_mode()
    def step(self, n_cells: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token for every slot. Empty slots draw too; ignore those.

        `n_cells` is at least the length of the longest text, including the token being drawn.
        Returns the tokens and their log-probabilities at temperature 1, each of shape (n,), as copies.
        """
        n_cells = min(-(-n_cells // CELLS) * CELLS, self.n_cells)
        if n_cells not in self._recorded:
            self._recorded[n_cells] = self._record(n_cells)
        self._recorded[n_cells]()
        return self._tokens.clone(), self._logprobs.clone()

    def free(self) -> None:
        """Return the memory to the driver, for users other than torch."""
        self._recorded.clear()
        del self._model, self._cache
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _record(self, n_cells: int) -> Callable[[], object]:
        if not self._device.startswith("cuda"):
            return lambda: self._draw(n_cells)
        # A first run outside the recording lets the libraries choose their kernels; its effect is undone.
        kept = [t.clone() for t in (self._tokens, self._positions, self._drawn)]
        aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._draw(n_cells)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            self._draw(n_cells)
        self._pool = graph.pool()
        for tensor, value in zip((self._tokens, self._positions, self._drawn), kept, strict=True):
            tensor.copy_(value)
        replay: Callable[[], object] = graph.replay
        return replay

    def _draw(self, n_cells: int) -> None:
        """Compute one step, in place."""
        mask = torch.arange(n_cells, device=self._device)[None, :] <= self._positions[:, None]
        self._cache.decode(self._positions, n_cells)
        logits = self._model(
            input_ids=self._tokens[:, None],
            position_ids=self._positions[:, None],
            attention_mask=mask[:, None, None, :],
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1].float()  # fmt: skip
        uniforms = self._uniforms.gather(1, self._drawn[:, None])
        tokens = draw_tokens(logits, uniforms, self._temperatures, self._top_p)
        self._logprobs.copy_((logits.gather(1, tokens) - logits.logsumexp(-1, keepdim=True))[:, 0])
        self._tokens.copy_(tokens[:, 0])
        self._positions.add_(1).clamp_(max=self.n_cells - 1)
        self._drawn.add_(1).clamp_(max=self.n_cells - 1)

    def _integers(self, numbers: Sequence[int] | Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self._device)

    def _floats(self, numbers: Sequence[float] | Sequence[Sequence[float]]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float32, device=self._device)


def draw_tokens(
    logits: torch.Tensor, uniforms: torch.Tensor, temperatures: torch.Tensor, top_p: torch.Tensor
) -> torch.Tensor:
    """Draw a token per row, by inverting the nucleus's cumulative distribution over ids.

    Shapes: logits (rows, vocabulary); uniforms, temperatures, top_p and the result (rows, 1). Draws the same tokens as
    `ucoder_lsp.engine.sampling`, which gives the reasons, except that a nucleus is cut at `NUCLEUS` tokens.
    """
    greedy = temperatures <= 0
    scaled = logits / torch.where(greedy, 1.0, temperatures)
    best, ids = scaled.topk(min(NUCLEUS, scaled.shape[1]))
    shares = (best - scaled.logsumexp(-1, keepdim=True)).exp()
    before = shares.cumsum(-1) - shares
    shares = torch.where(before < torch.where(greedy, 0.0, top_p), shares, 0.0)
    shares[:, 0] = shares[:, 0].clamp(min=1e-30)  # the most probable token always stays
    ids, order = ids.sort(-1)
    cumulative = shares.gather(1, order).cumsum(-1)
    place = (cumulative <= uniforms * cumulative[:, -1:]).sum(-1, keepdim=True)
    # Rounding may lead beyond the last token of the nucleus.
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)
    return ids.gather(1, torch.minimum(place, last))


class _SlotCache(Cache):  # type: ignore[misc]  # transformers has no types
    """Holds keys and values; call `prefill` or `decode` before each pass."""

    def __init__(self, config: Any, n: int, n_cells: int, device: str, dtype: torch.dtype) -> None:
        super().__init__(layers=[])
        shape = (n, config.num_key_value_heads, n_cells, _head_size(config))
        self._keys, self._values = (
            [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
            for _ in range(2)
        )
        self._every = torch.arange(n, device=device)
        self._rows: torch.Tensor | None = None
        self._slots = self._positions = self._every
        self._n_cells = n_cells

    def prefill(self, rows: torch.Tensor, slots: torch.Tensor) -> None:
        """Announce prompts to the next pass.

        Row rows[i] begins slot slots[i] and attends to itself alone.
        """
        self._rows, self._slots = rows, slots

    def decode(self, positions: torch.Tensor, n_cells: int) -> None:
        """Announce a step to the next pass.

        Row i is the token at positions[i] of slot i and attends to the first n_cells.
        """
        self._rows, self._positions, self._n_cells = None, positions, n_cells

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's keys and values; return those to attend to."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        if self._rows is not None:
            n = key_states.shape[2]
            keys[self._slots, :, :n] = key_states[self._rows]
            values[self._slots, :, :n] = value_states[self._rows]
            return key_states, value_states
        keys[self._every, :, self._positions] = key_states[:, :, 0]
        values[self._every, :, self._positions] = value_states[:, :, 0]
        return keys[:, :, : self._n_cells], values[:, :, : self._n_cells]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0.

        A prompt begins at position 0, and a step passes its positions.
        """
        return 0


def bytes_per_cell(config: Any, dtype: torch.dtype) -> int:
    """Return the size of one token in the cache, over all layers."""
    return (
        2 * int(config.num_hidden_layers * config.num_key_value_heads) * _head_size(config) * dtype.itemsize
    )


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute causal attention for a prompt, grouped attention for a step.

    In a step, the heads of a group take the axis of the tokens. So the cache is read once and never copied per head.
    """
    if attention_mask is None:
        out: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, None, **options)
        return out
    rows, heads, _, size = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    found = scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=options.get("scaling")
    )
    return found.reshape(rows, 1, heads, size), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Return None: prompts use the kernel's causal mask, steps pass their own."""
    return
