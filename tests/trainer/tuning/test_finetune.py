"""Fine-tuning with the real libraries on small random models: it learns, goes on after a stop, and can be served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.data.dataset import TrainingExample
from trainer.errors import BaseModelError, ExportError
from trainer.models.base import Base, computes_in_bfloat16
from trainer.models.export import export_adapter
from trainer.tuning.finetune import MAX_TOKENS, Tuned, Tuning, before_the_end, finetune

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
    TrainingExample(f"add_{i}", f"Write add_{i}.\n", f"```python\ndef add_{i}(x):\n    return x + {i}\n```")
    for i in range(8)
]
OWN = [
    TrainingExample(word, f"{word} the text.\n", f"def {word}(text):\n    return text.{word}()")
    for word in ("lower", "upper", "strip", "title", "split", "swapcase")
]


def quiet(done: int, total: int, loss: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    pytest.importorskip("trl", reason="needs the train extra")
    from tests.trainer.tiny_models import write_model
    from trainer.models.convert import convert_folder

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


@pytest.mark.parametrize("four_bit", [False, True], ids=["lora", "qlora"])
def test_what_is_rehearsed_stays_as_the_base_had_it_only_surer(
    base: Base, four_bit: bool, tmp_path: Path
) -> None:
    if four_bit:
        pytest.importorskip("bitsandbytes", reason="needs the gpu extra")
    tuning = replace(TUNING, four_bit=four_bit, teacher_temperature=0.5)
    chosen = ROWS[:2]
    alone = finetune(base, chosen, replace(tuning, epochs=16), tmp_path, quiet)
    both = finetune(base, chosen, replace(tuning, epochs=16), tmp_path, quiet, OWN)
    assert both.folder != alone.folder
    assert both.losses[-1][1] < both.losses[0][1]

    before, without, after = (_log_probs(base, t, OWN[0], four_bit) for t in (None, alone, both))
    before, without, after = (logs[:-1] for logs in (before, without, after))  # the end is taught by token
    entropies = [float(-(logs.exp() * logs).sum(-1).mean()) for logs in (before, after)]
    assert entropies[1] < 0.95 * entropies[0]
    wanted = (before / 0.5).softmax(-1)  # what it was to learn: nearer to it than the base or what forgot is
    assert _divergence(wanted, after) < 0.8 * _divergence(wanted, before)
    assert _divergence(wanted, after) < 0.8 * _divergence(wanted, without)


def test_where_an_answer_ends_is_taught_by_token(base: Base, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    bare = OWN[0]
    own = replace(bare, completion=f"```python\n{bare.completion}\n```")
    tuned = finetune(base, ROWS[:2], replace(TUNING, epochs=8), tmp_path, quiet, [own])
    before, after = (_log_probs(base, t, own, False) for t in (None, tuned))
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    assert before[-1, tokenizer.eos_token_id] < after[-1, tokenizer.eos_token_id] - 1
    whole = tokenizer(own.completion).input_ids
    n = before_the_end(own.completion, tokenizer)
    assert own.completion.startswith(tokenizer.decode(whole[:n]).rstrip())
    assert tokenizer.decode(whole[n:]).endswith("```")
    assert len(whole) - n <= 4, "the end of the line and the fence"
    assert before_the_end(bare.completion, tokenizer) == len(tokenizer(bare.completion).input_ids)


def _log_probs(base: Base, tuned: Tuned | None, row: TrainingExample, four_bit: bool) -> Any:
    """What comes after the prompt and each token of the answer: (tokens of the answer + 1, vocabulary)."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    from trainer.models.base import load_for_training

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    prompt, answer = (tokenizer(text).input_ids for text in (row.prompt, row.completion))
    model = load_for_training(base.folder, four_bit=four_bit)
    if tuned is not None:
        model = PeftModel.from_pretrained(model, str(tuned.folder))
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 :]
    return torch.log_softmax(logits.float(), -1)


def _divergence(wanted: Any, logs: Any) -> float:
    return float((wanted * (wanted.log() - logs)).sum(-1).mean())


def test_the_loss_is_the_cross_entropy_of_the_answers(base: Base, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    from trainer.models.base import load_for_training

    rows = [replace(row, prompt="Longer. " * i + row.prompt) for i, row in enumerate(ROWS)]  # begins vary
    tuned = finetune(base, rows, replace(TUNING, batch=len(rows), epochs=1), tmp_path, quiet)
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = load_for_training(base.folder, four_bit=False)
    losses = []
    for row in rows:
        prompt, answer = (tokenizer(text).input_ids for text in (row.prompt, row.completion))
        tokens = torch.tensor([*prompt, *answer, tokenizer.eos_token_id])
        with torch.no_grad():
            logits = model(tokens[None]).logits[0].float()
        losses += torch.nn.functional.cross_entropy(
            logits[len(prompt) - 1 : -1], tokens[len(prompt) :], reduction="none"
        ).tolist()
    # The first step starts from the base; bfloat16 where the machine has it.
    assert tuned.losses[0][1] == pytest.approx(sum(losses) / len(losses), rel=0.01)


def test_a_row_whose_answer_was_cut_off_is_left_out(base: Base, tmp_path: Path) -> None:
    """TRL does that, and the loss relies on it: a batch has at least one answer."""
    endless = replace(ROWS[0], prompt="No end. " * MAX_TOKENS)
    tuned = finetune(base, [*ROWS, *[endless] * 2], replace(TUNING, batch=1, epochs=1), tmp_path, quiet)
    assert len(tuned.losses) == len(ROWS)


def test_each_epoch_takes_the_rows_in_another_order(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.tuning.length_grouping import AlikeLengths

    orders: list[list[int]] = []
    ask = AlikeLengths.__iter__

    def kept(sampler: AlikeLengths) -> Iterator[int]:
        orders.append(list(ask(sampler)))
        return iter(orders[-1])

    monkeypatch.setattr(AlikeLengths, "__iter__", kept)
    finetune(base, ROWS, TUNING, tmp_path, quiet)
    assert len({tuple(order) for order in orders}) == TUNING.epochs


def test_its_threads_end_with_it(base: Base, tmp_path: Path) -> None:
    """An OpenMP team of torch's that stays makes llama.cpp several times slower."""
    trained_in: set[threading.Thread] = set()
    finetune(base, ROWS, TUNING, tmp_path, lambda *_: trained_in.add(threading.current_thread()))
    (thread,) = trained_in
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


@pytest.mark.parametrize("own", [(), OWN], ids=["chosen", "rehearsed"])
def test_a_stopped_fine_tuning_goes_on_from_its_checkpoint(
    base: Base, own: Sequence[TrainingExample], tmp_path: Path
) -> None:
    tuning = replace(TUNING, teacher_temperature=0.5)
    an_epoch = -(-(len(ROWS) + len(own)) // tuning.batch)

    def stop(done: int, total: int, loss: float) -> None:
        if done == an_epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(base, ROWS, tuning, tmp_path, stop, own)
    assert not list(tmp_path.glob("*/losses.json"))
    steps: list[int] = []
    tuned = finetune(base, ROWS, tuning, tmp_path, lambda done, total, loss: steps.append(done), own)
    assert steps[0] == an_epoch + 1, "the first epoch is in the checkpoint"
    assert [step for step, _ in tuned.losses] == list(range(1, tuning.epochs * an_epoch + 1))
    assert not list(tuned.folder.glob("checkpoint-*"))
    # A later round samples from it, so the data set depends on every bit.
    whole = finetune(base, ROWS, tuning, tmp_path / "whole", quiet, own)
    name = "adapter_model.safetensors"
    assert (tuned.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize("moment", ["checkpoints", "name"])
def test_a_kill_after_the_last_step_repeats_no_training(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At the two last moments: before the checkpoints go, and before the folder gets its name."""
    replace_file = os.replace

    def killed(source: Path, target: Path | None = None) -> None:
        if target is None or Path(target).parent == tmp_path:
            raise KeyboardInterrupt
        replace_file(source, target)

    def no_step(done: int, total: int, loss: float) -> None:
        raise AssertionError("it was trained already")

    with monkeypatch.context() as patch:
        if moment == "checkpoints":
            patch.setattr("trainer.tuning.finetune.remove", killed)
        else:
            patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(base, ROWS, TUNING, tmp_path, quiet)
    tuned = finetune(base, ROWS, TUNING, tmp_path, no_step)
    assert list(tmp_path.iterdir()) == [tuned.folder]
    assert not list(tuned.folder.glob("checkpoint-*"))
    assert len(tuned.losses) == 8


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
        "import resource, signal, sys; from pathlib import Path; from trainer.models.base import Base\n"
        "from trainer.errors import StoreError; from trainer.tuning.finetune import finetune\n"
        "from tests.trainer.tuning.test_finetune import ROWS, TUNING, quiet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limit = int(sys.argv[3])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); base = Path(sys.argv[1])\n"
        "try: finetune(Base(base, base), ROWS, TUNING, Path(sys.argv[2]), quiet)\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(base.folder), str(tmp_path), str(n_bytes)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Cannot write to ")
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
