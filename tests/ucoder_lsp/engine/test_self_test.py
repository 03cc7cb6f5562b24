"""The check of llama.cpp's kernels in a child process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ucoder_lsp.engine.self_test import KernelCheck, check_kernels


def test_this_build_works_and_a_bad_file_is_left_to_the_loader(tiny_model: Path, tmp_path: Path) -> None:
    assert check_kernels(tiny_model) == KernelCheck(extra_buffers=True)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF but no more")
    assert check_kernels(bad) is None


def test_modules_are_never_imported_from_the_current_folder(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's current folder may be an untrusted workspace."""
    ran = tmp_path / "ran"
    for name in ("ucoder_lsp", "llama_cpp", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    shutil.copy(tiny_model, tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    check = check_kernels(Path("model.gguf"))
    assert not ran.exists()
    assert check == KernelCheck(extra_buffers=True), "a relative path still names the user's file"
