"""Fine-tuning with the real libraries on small random models: it learns, resumes, and can be served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.tuning.examples import FOUR_BIT, ONCE, OWN, ROWS, SLOW_AND_NOISY, TUNING, quiet
from trainer.errors import BaseModelError, ExportError
from trainer.models.base import Base
from trainer.models.export import export_adapter
from trainer.tuning.finetune import finetune

pytestmark = SLOW_AND_NOISY


@pytest.mark.parametrize("base", ["llama", "qwen2"], indirect=True)
@FOUR_BIT
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

    # A finished adapter is not trained again.
    assert finetune(base, ROWS, replace(TUNING, four_bit=four_bit), tmp_path, quiet) == tuned
    assert len(steps) == 8


def test_each_epoch_takes_the_rows_in_another_order(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.tuning.length_grouping import LengthGroupedSampler

    orders: list[list[int]] = []
    original = LengthGroupedSampler.__iter__

    def recorded(sampler: LengthGroupedSampler) -> Iterator[int]:
        orders.append(list(original(sampler)))
        return iter(orders[-1])

    monkeypatch.setattr(LengthGroupedSampler, "__iter__", recorded)
    finetune(base, ROWS, replace(TUNING, epochs=2), tmp_path, quiet)
    assert len({tuple(order) for order in orders}) == 2


def test_its_thread_ends_with_it(base: Base, tmp_path: Path) -> None:
    """An OpenMP team of torch's that stays makes llama.cpp several times slower."""
    trained_in: set[threading.Thread] = set()
    finetune(base, ROWS, ONCE, tmp_path, lambda *_: trained_in.add(threading.current_thread()))
    (thread,) = trained_in
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


def test_an_interrupted_fine_tuning_resumes_from_its_checkpoint(base: Base, tmp_path: Path) -> None:
    """With selected programs and rehearsed answers in the same batches."""
    tuning = replace(TUNING, epochs=3, teacher_temperature=0.5)
    epoch = -(-(len(ROWS) + len(OWN)) // tuning.batch)

    def stop(done: int, total: int, loss: float) -> None:
        if done == epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(base, ROWS, tuning, tmp_path, stop, OWN)
    assert not list(tmp_path.glob("*/losses.json"))
    steps: list[int] = []
    tuned = finetune(base, ROWS, tuning, tmp_path, lambda done, total, loss: steps.append(done), OWN)
    assert steps[0] == epoch + 1, "the first epoch is in the checkpoint"
    assert [step for step, _ in tuned.losses] == list(range(1, tuning.epochs * epoch + 1))
    assert not list(tuned.folder.glob("checkpoint-*"))
    # A later round samples from it, so the data set depends on every bit.
    uninterrupted = finetune(base, ROWS, tuning, tmp_path / "uninterrupted", quiet, OWN)
    name = "adapter_model.safetensors"
    assert (tuned.folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()


@pytest.mark.parametrize("moment", ["checkpoints", "name"])
def test_after_a_kill_past_the_last_step_nothing_is_trained_again(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At the last two moments: before the checkpoints are removed, and before the folder is renamed."""
    replace_file = os.replace

    def killed(source: Path, target: Path | None = None) -> None:
        if target is None or Path(target).parent == tmp_path:
            raise KeyboardInterrupt
        replace_file(source, target)

    def no_step(done: int, total: int, loss: float) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        if moment == "checkpoints":
            patch.setattr("trainer.tuning.finetune.remove", killed)
        else:
            patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(base, ROWS, ONCE, tmp_path, quiet)
    tuned = finetune(base, ROWS, ONCE, tmp_path, no_step)
    assert list(tmp_path.iterdir()) == [tuned.folder]
    assert not list(tuned.folder.glob("checkpoint-*"))
    assert len(tuned.losses) == 2


def test_a_base_that_cannot_be_served_is_refused_before_training(base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ExportError, match="does not support the architecture 'gpt2'"):
        finetune(Base(folder, base.gguf), ROWS, TUNING, tmp_path / "out", quiet)


def test_a_loss_that_is_not_a_number_is_reported_in_one_sentence(base: Base, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="lower the learning rate"):
        finetune(base, ROWS, replace(TUNING, learning_rate=1e30), tmp_path, quiet)
    assert not list(tmp_path.glob("*/losses.json"))


def test_a_full_disk_is_reported_in_one_sentence_and_leaves_no_adapter(base: Base, tmp_path: Path) -> None:
    """The system refuses for real: no file of that process may grow beyond a limit.

    The two limits stop the weights of the first checkpoint, and then its optimizer state.
    """
    code = (
        "import resource, signal, sys; from pathlib import Path; from trainer.models.base import Base\n"
        "from trainer.errors import StoreError; from trainer.tuning.finetune import finetune\n"
        "from tests.trainer.tuning.examples import ONCE, ROWS, quiet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); base = Path(sys.argv[1])\n"
        "for limit in (100_000, 400_000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try: finetune(Base(base, base), ROWS, ONCE, Path(sys.argv[2]), quiet)\n"
        "    except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(base.folder), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()
    for message in (first, second):
        assert message.startswith("Cannot write to ")
        assert "run the same command again" in message
    assert not list(tmp_path.glob("*/losses.json"))
