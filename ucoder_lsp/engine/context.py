"""The boundary with llama.cpp: models, contexts that decode rows, adapters.

These classes hide everything native: pointers, the batch, return codes. All sequences share one KV cache
(`kv_unified`), so copying a sequence is bookkeeping; with split caches a partial copy aborts the process.

Not thread-safe: a context is created, used and closed in one thread (`engine.Engine` does so).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import llama_cpp as C
import numpy as np
from numpy.typing import NDArray

from ucoder_lsp.engine import native_log
from ucoder_lsp.engine.errors import AdapterLoadError, EngineError, ModelLoadError
from ucoder_lsp.engine.vocab import Vocab

MAX_SEQUENCES = 256
"""The limit of llama.cpp (`llama_max_parallel_sequences`)."""

Logits = NDArray[np.float32]
"""Shape (rows, vocabulary)."""


def offloads_to_gpu() -> bool:
    """Return whether this build of llama.cpp computes on a GPU."""
    return bool(C.llama_supports_gpu_offload())


class LoadedModel:
    """The weights and the vocabulary of one GGUF file."""

    def __init__(self, path: Path, n_gpu_layers: int = -1, extra_buffers: bool = True) -> None:
        """Load a file.

        Args:
            n_gpu_layers: layers to put on a GPU where llama.cpp was built for one; negative means all.
            extra_buffers: let llama.cpp rearrange the weights for its fastest kernels (see `self_test`).

        Raises:
            ModelLoadError: the file is missing, not a GGUF, or of an architecture that llama.cpp does not support.
        """
        native_log.install()
        C.llama_backend_init()
        if not path.is_file():
            raise ModelLoadError(f"There is no model file at {path}: set 'model' to a GGUF file that exists.")
        params = C.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.use_extra_bufts = extra_buffers
        native_log.take_errors()
        self.handle = C.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise ModelLoadError(
                f"llama.cpp cannot load {path} ({native_log.take_errors() or 'no reason given'}): "
                "use a complete GGUF file of a decoder model."
            )
        self.path = path
        self.vocab = Vocab(self.handle)
        self.n_ctx_train = int(C.llama_model_n_ctx_train(self.handle))
        self.name = self.metadata("general.name") or path.stem
        template = C.llama_model_chat_template(self.handle, None)
        self.chat_template = template.decode("utf-8", "replace") if template else None

    def metadata(self, key: str) -> str | None:
        """Return a metadata value as text; None where the file has none."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = C.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if n < 0:
                return None
            if n < size:
                return buffer.value.decode("utf-8", "replace")
            size = n + 1

    def close(self) -> None:
        """Free the weights; all contexts must be closed first."""
        self.vocab.close()
        if self.handle:
            C.llama_model_free(self.handle)
            self.handle = None


class Context:
    """A KV cache, and the decoding of rows."""

    def __init__(
        self, model: LoadedModel, *, n_cells: int, n_seq: int, n_rows: int, n_batch: int, n_threads: int
    ) -> None:
        """Open a context.

        Args:
            n_cells: tokens that the KV cache holds over all sequences; shared prefixes count once.
            n_seq: number of sequences; their ids are 0 to n_seq - 1.
            n_rows: the most rows that one decode returns logits for.
            n_batch: the most tokens of one decode.

        Raises:
            EngineError: llama.cpp cannot open a context of this size.
        """
        params = C.llama_context_default_params()
        params.n_ctx = n_cells
        params.n_seq_max = n_seq
        params.kv_unified = True
        params.n_batch = n_batch
        params.n_ubatch = n_batch
        n_rows = max(n_rows, n_seq)  # with fewer llama.cpp aborts the process
        # By default llama.cpp reserves logits for n_batch rows: 300 MB with a vocabulary of 150,000 tokens.
        params.n_outputs_max = n_rows
        params.n_threads = params.n_threads_batch = n_threads
        params.no_perf = True
        if not offloads_to_gpu():
            # "Auto" turns it on, and on a CPU it reads the whole cache once per row: decoding 15 rows behind a prompt
            # of 650 tokens takes 2.7 times as long (docs/decisions.md, "No flash attention on a CPU").
            params.flash_attn_type = C.LLAMA_FLASH_ATTN_TYPE_DISABLED
        native_log.take_errors()
        self.handle = C.llama_init_from_model(model.handle, params)
        if not self.handle:
            reason = native_log.take_errors() or "no reason given"
            raise EngineError(
                f"llama.cpp cannot open a context of {n_cells} tokens ({reason}): "
                "lower n_ctx or k_max, or free some memory."
            )
        self.n_cells = int(C.llama_n_ctx(self.handle))
        self._model = model
        self._memory = C.llama_get_memory(self.handle)
        self._batch = _NativeBatch(n_batch)

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        with_logits: Sequence[bool],
    ) -> None:
        """Decode rows: token i has position positions[i] in sequence sequences[i].

        Raises:
            EngineError: llama.cpp failed; the KV cache is unusable until `clear`.
        """
        native_log.take_errors()
        code = C.llama_decode(self.handle, self._batch.fill(tokens, positions, sequences, with_logits))
        if code == 1:
            raise EngineError("The KV cache is full: lower k or max_tokens, or raise n_ctx.")
        if code != 0:
            raise EngineError(
                f"llama.cpp failed to decode (code {code}, {native_log.take_errors() or 'no reason given'}); "
                "the cache was cleared, try again."
            )

    def logits(self, n_rows: int) -> Logits:
        """Return a view of the last decode's logits, in batch order.

        It is valid until the next decode.
        """
        pointer = C.llama_get_logits(self.handle)
        return np.ctypeslib.as_array(pointer, shape=(n_rows, self._model.vocab.n_tokens))

    def copy(self, source: int, target: int, n_tokens: int = -1) -> None:
        """Share the first n_tokens cells of `source` with `target`; all when negative."""
        C.llama_memory_seq_cp(self._memory, source, target, -1, n_tokens)

    def truncate(self, sequence: int, n_tokens: int) -> None:
        """Drop a sequence's cells from position n_tokens on."""
        if not C.llama_memory_seq_rm(self._memory, sequence, n_tokens, -1):
            # Recurrent models cannot drop a tail: their state is one vector.
            C.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            raise EngineError(
                "This model's state cannot be shortened (a recurrent architecture): use a transformer."
            )

    def drop(self, sequence: int) -> None:
        """Drop a sequence."""
        C.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def clear(self) -> None:
        """Drop all sequences."""
        C.llama_memory_clear(self._memory, True)

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Compute with this adapter alone from now on.

        The caller clears the KV cache, which belongs to the previous one.
        """
        if adapter is None:
            code = C.llama_set_adapters_lora(self.handle, None, 0, None)
        else:
            handles = (C.llama_adapter_lora_p_ctypes * 1)(adapter.handle)
            code = C.llama_set_adapters_lora(self.handle, handles, 1, (ctypes.c_float * 1)(1.0))
        if code != 0:
            raise EngineError(
                f"llama.cpp rejected the adapter (code {code}): serve the base model, or export the adapter again."
            )

    def close(self) -> None:
        """Free the cache."""
        if self.handle:
            C.llama_free(self.handle)
            self.handle = None


class Adapter:
    """The weights of a LoRA adapter, loaded beside a model."""

    def __init__(self, model: LoadedModel, path: Path) -> None:
        if not path.is_file():
            raise AdapterLoadError(f"There is no adapter file at {path}: publish it again, or roll back.")
        native_log.take_errors()
        self.handle = C.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not self.handle:
            raise AdapterLoadError(
                f"llama.cpp cannot load the adapter {path} "
                f"({native_log.take_errors() or 'no reason given'}): "
                "it is damaged or made for another base model; export it again, or roll back."
            )

    def close(self) -> None:
        """Free the weights; no context may use them any more."""
        if self.handle:
            C.llama_adapter_lora_free(self.handle)
            self.handle = None


class _NativeBatch:
    """A `llama_batch` over numpy buffers, reused for every decode."""

    def __init__(self, size: int) -> None:
        self._token = np.zeros(size, np.int32)
        self._pos = np.zeros(size, np.int32)
        self._n_seq = np.ones(size, np.int32)
        self._seq = np.zeros(size, np.int32)
        self._logits = np.zeros(size, np.int8)
        # llama.cpp needs one pointer per row to the list of its sequences: these lists have length one and are
        # adjacent.
        self._seq_pointers = self._seq.ctypes.data + np.arange(size, dtype=np.uintp) * self._seq.itemsize
        self._native = C.llama_batch(
            n_tokens=0,
            token=_pointer(self._token, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._pos, ctypes.c_int32),
            n_seq_id=_pointer(self._n_seq, ctypes.c_int32),
            seq_id=ctypes.cast(
                self._seq_pointers.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))
            ),
            logits=_pointer(self._logits, ctypes.c_int8),
        )

    def fill(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        with_logits: Sequence[bool],
    ) -> object:
        n = len(tokens)
        self._token[:n] = tokens
        self._pos[:n] = positions
        self._seq[:n] = sequences
        self._logits[:n] = with_logits
        self._native.n_tokens = n
        return self._native


def _pointer(array: NDArray[np.generic], kind: type) -> object:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
