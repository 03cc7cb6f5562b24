"""Fine-tuning with the real libraries on small random models: it learns, goes on after a stop, and can be served."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.base import Base, computes_in_bfloat16
from trainer.dataset import Example
from trainer.errors import BaseModelError, ExportError
from trainer.export import export_adapter
from trainer.finetune import Tuning, finetune

pytestmark = [
    pytest.mark.slow,
    # Of the libraries about one another.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TUNING = Tuning(rank=4, epochs=4, learning_rate=3e-3, batch=4, seed=0)
ROWS = [
    Example(f"add_{i}", f"Write add_{i}.\n", f"```python\ndef add_{i}(x):\n    return x + {i}\n```")
    for i in range(8)
]


def quiet(done: int, total: int, loss: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    pytest.importorskip("trl", reason="needs the train extra")
    from tests.trainer.tiny_models import write_model
    from trainer.convert import convert_folder

    folder = write_model(tmp_path_factory.mktemp("base") / "model", request.param)
    convert_folder(folder, folder / "base.gguf", dtype="f32")
    return Base(folder, folder / "base.gguf")


@pytest.mark.parametrize("four_bit", [False, True], ids=["lora", "qlora"])
def test_it_learns_and_the_adapter_can_be_served(base: Base, four_bit: bool, tmp_path: Path) -> None:
    if four_bit:
        pytest.importorskip("bitsandbytes", reason="needs the gpu extra")
    from tests.trainer.tiny_models import llama_cpp_logits

    steps: list[int] = []
    tuned = finetune(
        base, ROWS, replace(TUNING, four_bit=four_bit), tmp_path, lambda done, total, loss: steps.append(done)
    )
    assert steps == list(range(1, 9))
    losses = [loss for _, loss in tuned.losses]
    assert losses[-1] < 0.8 * losses[0]

    export_adapter(tuned.folder, base.config, tmp_path / "adapter.gguf")
    tokens = [70, 101, 33, 300]
    plain, adapted = (llama_cpp_logits(base.gguf, tokens, a) for a in (None, tmp_path / "adapter.gguf"))
    assert abs(plain - adapted).max() > 0.1

    # Finished work is found again.
    assert finetune(base, ROWS, replace(TUNING, four_bit=four_bit), tmp_path, quiet) == tuned
    assert len(steps) == 8


def test_its_threads_end_with_it(base: Base, tmp_path: Path) -> None:
    """An OpenMP team of torch's that stays makes llama.cpp several times slower."""
    trained_in: set[threading.Thread] = set()
    finetune(base, ROWS, TUNING, tmp_path, lambda *_: trained_in.add(threading.current_thread()))
    (thread,) = trained_in
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


def test_a_stopped_fine_tuning_goes_on_from_its_checkpoint(base: Base, tmp_path: Path) -> None:
    def stop(done: int, total: int, loss: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(base, ROWS, TUNING, tmp_path, stop)
    assert not list(tmp_path.glob("*/losses.json"))
    steps: list[int] = []
    tuned = finetune(base, ROWS, TUNING, tmp_path, lambda done, total, loss: steps.append(done))
    assert steps[0] == 5, "steps 1 to 4 are in the checkpoint of the second epoch"
    assert [step for step, _ in tuned.losses] == list(range(1, 9))
    assert not list(tuned.folder.glob("checkpoint-*"))
    # A later round samples from it, so the data set depends on every bit.
    whole = finetune(base, ROWS, TUNING, tmp_path / "whole", quiet)
    name = "adapter_model.safetensors"
    assert (tuned.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_what_cannot_be_served_is_refused_before_training(base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ExportError, match="does not know the architecture 'gpt2'"):
        finetune(Base(folder, base.gguf), ROWS, TUNING, tmp_path / "out", quiet)


def test_a_loss_that_is_no_number_is_one_sentence(base: Base, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="lower the learning rate"):
        finetune(base, ROWS, replace(TUNING, learning_rate=1e30), tmp_path, quiet)
    assert not list(tmp_path.glob("*/losses.json"))


@pytest.mark.parametrize("n_bytes", [100_000, 400_000], ids=["weights", "optimizer"])
def test_a_full_disk_is_one_sentence_and_leaves_no_adapter(base: Base, tmp_path: Path, n_bytes: int) -> None:
    """A real refusal of the system: no file of this process may grow beyond a limit."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from trainer.base import Base\n"
        "from trainer.errors import StoreError; from trainer.finetune import finetune\n"
        "from tests.trainer.test_finetune import ROWS, TUNING, quiet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limit = int(sys.argv[3])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); base = Path(sys.argv[1])\n"
        "try: finetune(Base(base, base), ROWS, TUNING, Path(sys.argv[2]), quiet)\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(base.folder), str(tmp_path), str(n_bytes)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Cannot write the checkpoint")
    assert "run the same command again" in done.stdout
    assert not list(tmp_path.glob("*/losses.json"))


@pytest.mark.parametrize(("capability", "fast"), [("AVX2", False), ("AVX512", True), ("DEFAULT", False)])
def test_bfloat16_is_used_only_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, capability: str, fast: bool
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert computes_in_bfloat16() is fast
