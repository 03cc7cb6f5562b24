"""Detects what this machine can do: GPU, number formats, memory.

torch is imported only inside functions, because commands without torch import this module too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ENGINES_MEMORY_SHARE = 1 / 8
"""Share of the machine's memory that all copies of a model may fill together."""


def has_gpu() -> bool:
    """Return whether torch computes on a GPU here."""
    import torch

    return torch.cuda.is_available()


def computes_in_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32.

    It is on newer GPUs, and on CPUs with AVX-512. Elsewhere it is emulated: a fine-tuning step of the embedded model
    took 150 s instead of 14 (`docs/decisions.md`, "float32 where bfloat16 is emulated").
    """
    import torch

    if has_gpu():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def sampling_dtype(device: str) -> torch.dtype:
    """Return the number format that sampling computes in on a torch device."""
    import torch

    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if computes_in_bfloat16() else torch.float16


def free_gpu_bytes() -> int:
    """Return the free memory of the GPU."""
    import torch

    return int(torch.cuda.mem_get_info()[0])


def engine_copies(threads: int, model_bytes: int, *, on_gpu: bool) -> int:
    """Return how many engines to open: one per thread, if memory allows.

    Where llama.cpp computes on a GPU (`on_gpu`), one.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 if on_gpu else max(1, min(threads, int(memory * ENGINES_MEMORY_SHARE) // max(model_bytes, 1)))
