"""What the machine allows: number formats and copies of a model."""

from __future__ import annotations

import pytest

from trainer.hardware import computes_in_bfloat16, engine_copies, sampling_dtype


@pytest.mark.parametrize(("capability", "fast"), [("AVX2", False), ("AVX512", True), ("DEFAULT", False)])
def test_bfloat16_is_used_only_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, capability: str, fast: bool
) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert computes_in_bfloat16() is fast


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_samples_in_a_format_of_16_bits(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str
) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert sampling_dtype("cuda") == getattr(torch, dtype)
    assert sampling_dtype("cpu") == torch.float32


def test_one_copy_per_thread_unless_memory_or_a_gpu_forbids_it() -> None:
    assert engine_copies(4, 100_000_000, on_gpu=False) == 4
    assert engine_copies(4, 100_000_000, on_gpu=True) == 1
    assert engine_copies(4, 10**15, on_gpu=False) == 1
