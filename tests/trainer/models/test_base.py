"""A base in both its forms: made once, complete or not at all, with one sentence for every failure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiny_gguf
from trainer.errors import BaseModelError
from trainer.models.base import Base, _once, prepare_base

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_sentence_and_leaves_no_base(tmp_path: Path) -> None:
    """The system refuses for real: no file of that process may grow beyond a limit.

    The two limits stop the configuration, and then the weights.
    """
    pytest.importorskip("transformers", reason="needs the train extra")
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    code = (
        "import resource, signal, sys; from pathlib import Path; from trainer.models.base import prepare_base\n"
        "from trainer.errors import StoreError; import transformers, torch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for limit in (1_000, 300_000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try: prepare_base(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "    except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(gguf), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()
    assert first.startswith("Cannot write")
    assert second.startswith("Cannot write")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
def test_two_runs_may_prepare_the_same_base_at_once(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the train extra")
    cache = tmp_path / "cache"
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    first = prepare_base(gguf, cache).folder
    kept = first.rename(tmp_path / "kept")

    def overtaken(out: Path) -> None:
        """The other run finishes just before the renaming."""
        out.mkdir()
        (out / "config.json").touch()
        kept.rename(first)

    assert _once(cache, first.name, overtaken) == first
    assert (first / "model.safetensors").is_file()
    assert list(cache.iterdir()) == [first]


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    leftover = tmp_path / f".hf-0123.{gone}.part"
    leftover.mkdir()
    (leftover / "model.safetensors").touch()
    made = _once(tmp_path, "gguf-4567.gguf", lambda out: out.touch())
    assert list(tmp_path.iterdir()) == [made]


def test_a_base_that_transformers_cannot_read_is_not_reported_as_unwritable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the train extra")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Can't load tokenizer for it.\nMake sure that\nand so on")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    gguf = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    with pytest.raises(BaseModelError, match=r"tiny.gguf cannot be loaded \(Can't load tokenizer for it.\)"):
        prepare_base(gguf, tmp_path / "cache")


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    """A folder whose rope scaling, in the older notation, cannot be converted."""
    pytest.importorskip("transformers", reason="needs the train extra")
    folder = prepare_base(tiny_gguf.write_model(tmp_path / "tiny.gguf"), tmp_path / "made").folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "rope_scaling": {"type": "linear", "factor": 2.0}})
    )
    return folder


def test_a_folder_that_cannot_be_converted_needs_its_served_file(scaled: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"rope scaling 'linear' .* pass the file with --served"):
        prepare_base(scaled, tmp_path / "cache")
    assert prepare_base(scaled, tmp_path / "cache", tmp_path / "tiny.gguf") == Base(
        scaled, tmp_path / "tiny.gguf"
    )


def test_a_served_file_of_another_model_is_refused_before_training(scaled: Path, tmp_path: Path) -> None:
    other = tiny_gguf.write_model(tmp_path / "other.gguf", architecture="qwen2")
    (tmp_path / "text.gguf").write_text("hello")
    for served, message in (
        (other, "other.gguf is a different model from .*architecture"),
        (tmp_path / "text.gguf", "text.gguf is not a GGUF file"),
        (tmp_path / "gone.gguf", "gone.gguf does not exist"),
    ):
        with pytest.raises(BaseModelError, match=message):
            prepare_base(scaled, tmp_path / "cache", served)
    config = json.loads((scaled / "config.json").read_text())
    (scaled / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 24}))
    with pytest.raises(BaseModelError, match=r"a different model from .*block_count is 2, not 24"):
        prepare_base(scaled, tmp_path / "cache", tmp_path / "tiny.gguf")
