"""A base in both its forms: made once, whole or not at all, and what goes wrong is one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiny_gguf
from trainer.errors import BaseModelError
from trainer.models.base import Base, _once, prepare_base
from trainer.models.convert import convert_folder

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [1_000, 300_000], ids=["configuration", "weights"])
def test_a_full_disk_is_one_sentence_and_leaves_no_base(tmp_path: Path, n_bytes: int) -> None:
    """A real refusal of the system: no file of this process may grow beyond a limit."""
    pytest.importorskip("transformers", reason="needs the train extra")
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    code = (
        "import resource, signal, sys; from pathlib import Path; from trainer.models.base import prepare_base\n"
        "from trainer.errors import StoreError; import transformers, torch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limit = int(sys.argv[3])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: prepare_base(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(gguf), str(tmp_path / "cache"), str(n_bytes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Cannot write")
    assert done.stdout.count("\n") == 1
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
def test_a_run_that_prepared_the_same_base_meanwhile_is_no_failure(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the train extra")
    cache = tmp_path / "cache"
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    first = prepare_base(gguf, cache).folder
    kept = first.rename(tmp_path / "kept")

    def overtaken(out: Path) -> None:
        """The other run is there in the moment of the renaming."""
        out.mkdir()
        (out / "config.json").touch()
        kept.rename(first)

    assert _once(cache, first.name, overtaken) == first
    assert (first / "model.safetensors").is_file()
    assert list(cache.iterdir()) == [first]


def test_remains_of_killed_runs_are_removed(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    remains = tmp_path / f".hf-0123.{gone}.part"
    remains.mkdir()
    (remains / "model.safetensors").touch()
    made = _once(tmp_path, "gguf-4567.gguf", lambda out: out.touch())
    assert list(tmp_path.iterdir()) == [made]


def test_what_transformers_cannot_read_is_not_called_unwritable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the train extra")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Can't load tokenizer for it.\nMake sure that\nand so on")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    with pytest.raises(BaseModelError, match=r"tiny.gguf cannot be loaded \(Can't load tokenizer for it.\)"):
        prepare_base(gguf, tmp_path / "cache")


def test_weights_that_were_cut_off_are_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the train extra")
    folder = prepare_base(tiny_gguf.write_model(tmp_path / "tiny.gguf"), tmp_path / "cache").folder
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BaseModelError, match=r"model.safetensors cannot be read .*download it again"):
        convert_folder(folder, tmp_path / "out.gguf")


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    """A folder whose rope scaling, in the older notation, is not converted here."""
    pytest.importorskip("transformers", reason="needs the train extra")
    folder = prepare_base(tiny_gguf.write_model(tmp_path / "tiny.gguf"), tmp_path / "made").folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "rope_scaling": {"type": "linear", "factor": 2.0}})
    )
    return folder


def test_a_folder_that_is_not_converted_here_comes_with_its_served_file(scaled: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"rope scaling 'linear' .* pass the file with --served"):
        prepare_base(scaled, tmp_path / "cache")
    assert prepare_base(scaled, tmp_path / "cache", tmp_path / "tiny.gguf") == Base(
        scaled, tmp_path / "tiny.gguf"
    )


def test_a_served_file_of_another_model_is_refused_before_training(scaled: Path, tmp_path: Path) -> None:
    other = tiny_gguf.write_model(tmp_path / "other.gguf", architecture="qwen2")
    (tmp_path / "text.gguf").write_text("hello")
    for served, says in (
        (other, "other.gguf is another model than .*architecture"),
        (tmp_path / "text.gguf", "text.gguf is no GGUF file"),
        (tmp_path / "gone.gguf", "gone.gguf does not exist"),
    ):
        with pytest.raises(BaseModelError, match=says):
            prepare_base(scaled, tmp_path / "cache", served)
    config = json.loads((scaled / "config.json").read_text())
    (scaled / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 24}))
    with pytest.raises(BaseModelError, match=r"another model than .*block_count is 2, not 24"):
        prepare_base(scaled, tmp_path / "cache", tmp_path / "tiny.gguf")
