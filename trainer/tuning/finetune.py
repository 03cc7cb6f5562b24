"""LoRA fine-tuning of the base on a data set: TRL's SFTTrainer, resumable, QLoRA where the base is large.

Always from the base, never on top of an earlier adapter (ReST-EM: same score, better transfer; and hot swap serves one
adapter, not a stack). The result appears whole under a name made of everything it depends on; checkpoints let a
killed run go on. What it does not do: choose data, export, judge.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.data.dataset import TrainingExample
from trainer.errors import BaseModelError, MissingExtraError, disk_errors, library_errors
from trainer.models.base import Base, computes_in_bfloat16, load_for_training
from trainer.models.export import check_exportable
from trainer.run.store import digest
from ucoder_lsp.engine.prefix_cache import common_prefix
from ucoder_lsp.files import remove, sync_folder, sync_tree, write_atomically

MAX_TOKENS = 1024
"""A longer example is cut: the prompts and answers of the loop have a few hundred tokens."""
Progress = Callable[[int, int, float], None]
"""Called with steps done, steps in all and the last loss."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to fine-tune."""

    rank: int
    epochs: int
    learning_rate: float
    batch: int
    seed: int
    four_bit: bool = False
    """QLoRA: the base in NF4, for bases that do not fit otherwise."""
    teacher_temperature: float = 1.0
    """Of the base's distribution on the answers that are rehearsed: below 1 it is sharper than it was."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A finished fine-tuning."""

    folder: Path
    """A PEFT adapter."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss) as logged."""

    @property
    def gguf(self) -> Path:
        """Where its export belongs: beside the folder, which is published with it."""
        return self.folder.with_name(f"{self.folder.name}.gguf")


def finetune(
    base: Base,
    rows: Sequence[TrainingExample],
    tuning: Tuning,
    parent: Path,
    progress: Progress,
    rehearsed: Sequence[TrainingExample] = (),
) -> Tuned:
    """Train a LoRA adapter on `rows`, under `parent` (a folder of this base alone); found again when it is finished.

    `rehearsed` are answers that the base itself gave. There the adapter learns the base's own distribution over each
    token, at `tuning.teacher_temperature` (`trainer.tuning.objective`).

    Raises `BaseModelError`, `ExportError` or `StoreError` with one sentence.
    """
    key = digest([[asdict(row) for row in rows], [asdict(row) for row in rehearsed], asdict(tuning)])[:16]
    done = parent / key
    if not (done / "losses.json").is_file():
        work = parent / f"{key}.part"
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            if not (work / "losses.json").is_file():
                with library_errors(parent):
                    _in_a_thread_that_ends(lambda: _train(base, rows, tuning, work, progress, rehearsed))
            for checkpoint in work.glob("checkpoint-*"):
                remove(checkpoint)
            os.replace(work, done)
            sync_folder(parent)
    losses = json.loads((done / "losses.json").read_text())
    return Tuned(done, tuple((int(step), float(loss)) for step, loss in losses))


def _in_a_thread_that_ends(work: Callable[[], None]) -> None:
    """Do it in a thread of its own, whose OpenMP team goes with it.

    With torch's team left in the process llama.cpp's takes the cores for oversubscribed and sleeps at every barrier:
    sampling after fine-tuning took 4 to 6 times as long a step (docs/log.md).
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # it belongs to the caller, who waits for it
            failed.append(error)

    thread = threading.Thread(target=run, name="ucoder-finetune", daemon=True)  # Ctrl-C need not wait for it
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _train(
    base: Base,
    rows: Sequence[TrainingExample],
    tuning: Tuning,
    work: Path,
    progress: Progress,
    rehearsed: Sequence[TrainingExample],
) -> None:
    # The libraries report on one another; what a user needs to know comes from us.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import torch
        from datasets import Dataset
        from datasets.utils import disable_progress_bars
        from peft import LoraConfig
        from transformers import AutoTokenizer, PrinterCallback, TrainerCallback, TrainerControl, TrainerState
        from transformers import logging as hf_logging
        from trl import SFTConfig

        from trainer.tuning.objective import REHEARSED, CompletionTrainer
    except ImportError as error:
        raise MissingExtraError from error

    # 1. Refuse what could not be served, before hours are spent.
    lora = LoraConfig(
        r=tuning.rank, lora_alpha=2 * tuning.rank, lora_dropout=0.0, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    check_exportable(lora.to_dict(), base.config)

    # 2. The base, its tokenizer, the data.
    torch.manual_seed(tuning.seed)
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = load_for_training(base.folder, four_bit=tuning.four_bit)
    from_base = [(row, 0) for row in rows] + [
        (row, before_the_end(row.completion, tokenizer)) for row in rehearsed
    ]
    data = Dataset.from_list(
        [{"prompt": row.prompt, "completion": row.completion, REHEARSED: n} for row, n in from_base]
    )

    # 3. Train, from the last whole checkpoint if there is one.
    class Tell(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        def on_log(
            self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
        ) -> None:
            if logs and "loss" in logs:
                progress(state.global_step, state.max_steps, float(logs["loss"]))

    on_gpu = torch.cuda.is_available()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = SFTConfig(
            output_dir=str(work), num_train_epochs=tuning.epochs, learning_rate=tuning.learning_rate,
            per_device_train_batch_size=tuning.batch, lr_scheduler_type="cosine", warmup_steps=0.05,
            weight_decay=0.0, max_grad_norm=1.0, max_length=MAX_TOKENS, completion_only_loss=True, packing=False,
            bf16=computes_in_bfloat16(), use_cpu=not on_gpu, gradient_checkpointing=False,
            seed=tuning.seed, data_seed=tuning.seed,
            logging_steps=1, logging_nan_inf_filter=False, save_strategy="epoch", save_total_limit=2,
            report_to="none", disable_tqdm=True,
            dataloader_pin_memory=on_gpu, remove_unused_columns=False,
        )  # fmt: skip
        trainer = CompletionTrainer(
            model=model, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[Tell()],
            peft_config=lora, teacher_temperature=tuning.teacher_temperature,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))

    # 4. The adapter and, once that is on the disk, its losses: from then on the training is finished.
    losses = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    if not losses or any(loss != loss for _, loss in losses):
        raise BaseModelError(
            "Fine-tuning ended without a usable loss: lower the learning rate or check the base."
        )
    trainer.model.save_pretrained(work)
    sync_tree(work)
    write_atomically(work / "losses.json", json.dumps(losses))


def before_the_end(answer: str, tokenizer: Any) -> int:
    """How many tokens of an answer come before those that only end it: the fence that closes its block."""
    whole = tokenizer(answer, add_special_tokens=False).input_ids
    open_ended = tokenizer(answer.removesuffix("```").rstrip(), add_special_tokens=False).input_ids
    return common_prefix(tuple(whole), tuple(open_ended))


def last_whole_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was written to its end; torn ones are removed.

    transformers writes into the final folder, so a kill leaves a torn one; what it writes last is the state.
    """
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for folder in reversed(found):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            if all(
                (folder / name).stat().st_size > 0 for name in ("adapter_model.safetensors", "optimizer.pt")
            ):
                return str(folder)
        except (OSError, ValueError):
            pass
        shutil.rmtree(folder)
    return None
