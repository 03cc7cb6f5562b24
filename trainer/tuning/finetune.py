"""LoRA fine-tuning of the base on a data set.

It uses TRL's SFTTrainer, is resumable, and uses QLoRA where the base is large.

Training starts from the base, never from an earlier adapter. ReST-EM (Singh et al. 2024, arXiv 2312.06585) found the
same score and better transfer, and hot swap serves one adapter, not a stack. The result appears complete, under a hash
of everything it depends on; a killed run resumes from its checkpoints. Not its job: data selection, export, judging.
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
from trainer.hardware import computes_in_bfloat16, has_gpu
from trainer.models.base import Base, load_for_training
from trainer.models.export import check_exportable
from trainer.run.store import digest
from ucoder_lsp.engine.prefix_cache import common_prefix
from ucoder_lsp.files import remove, sync_folder, sync_tree, write_atomically

MAX_TOKENS = 1024
"""Longer examples are truncated; the prompts and answers of the pipeline have a few hundred tokens."""
Progress = Callable[[int, int, float], None]
"""Called with the steps done, the number of steps and the last loss."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings of one fine-tuning; names and values enter its hash."""

    rank: int
    epochs: int
    learning_rate: float
    batch: int
    seed: int
    four_bit: bool = False
    """QLoRA: the base in NF4, for bases that do not fit into memory otherwise."""
    teacher_temperature: float = 1.0
    """Temperature of the base's distribution over rehearsed answers; below 1 it is sharper than the base."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A finished fine-tuning."""

    folder: Path
    """A PEFT adapter."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss) of every step."""

    @property
    def gguf(self) -> Path:
        """Path of the exported adapter.

        Beside the folder, which is published with it.
        """
        return self.folder.with_name(f"{self.folder.name}.gguf")


def finetune(
    base: Base,
    rows: Sequence[TrainingExample],
    tuning: Tuning,
    parent: Path,
    progress: Progress,
    rehearsed: Sequence[TrainingExample] = (),
) -> Tuned:
    """Train a LoRA adapter on `rows`, or return it if it is finished already.

    `parent` is a folder for adapters of this base alone. `rehearsed` are answers that the base itself gave. There the
    adapter learns the base's own distribution over each token (`trainer.tuning.objective`).

    Raises:
        BaseModelError: the base cannot be trained, or its loss is not a number.
        ExportError: the adapter could not be served.
        StoreError: the disk is full or not writable.
    """
    key = digest([[asdict(row) for row in rows], [asdict(row) for row in rehearsed], asdict(tuning)])[:16]
    done = parent / key
    if not (done / "losses.json").is_file():
        work = parent / f"{key}.part"
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            if not (work / "losses.json").is_file():
                with library_errors(parent):
                    _in_own_thread(lambda: _train(base, rows, tuning, work, progress, rehearsed))
            for checkpoint in work.glob("checkpoint-*"):
                remove(checkpoint)
            os.replace(work, done)
            sync_folder(parent)
    losses = json.loads((done / "losses.json").read_text())
    return Tuned(done, tuple((int(step), float(loss)) for step, loss in losses))


def _in_own_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, whose OpenMP team ends with it.

    With torch's team left in the process, llama.cpp's counts the cores as oversubscribed and sleeps at every barrier.
    Sampling took 4 to 6 times as long per step (`docs/decisions.md`, "Fine-tuning runs in a thread that ends").
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again in the caller
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
    """Train in the folder `work`; finished as soon as it holds losses.json."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # before peft imports it, when it warns
    try:
        import torch
        from peft import LoraConfig
        from transformers import AutoTokenizer, PrinterCallback

        from trainer.tuning.objective import CompletionTrainer
    except ImportError as error:
        raise MissingExtraError from error

    # 1. Refuse what could not be served, before hours are spent.
    lora = LoraConfig(
        r=tuning.rank, lora_alpha=2 * tuning.rank, lora_dropout=0.0, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    check_exportable(lora.to_dict(), base.config)

    # 2. Load the base, its tokenizer and the data.
    torch.manual_seed(tuning.seed)
    _silence_libraries()
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = load_for_training(base.folder, four_bit=tuning.four_bit)
    data = _data_set(rows, rehearsed, tokenizer)

    # 3. Train, from the last complete checkpoint if there is one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = CompletionTrainer(
            model=model, args=_trainer_settings(tuning, work), train_dataset=data, processing_class=tokenizer,
            callbacks=[_progress_callback(progress)], peft_config=lora,
            teacher_temperature=tuning.teacher_temperature,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))

    # 4. Save the adapter and then its losses, which mark the training as finished.
    losses = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    if not losses or any(loss != loss for _, loss in losses):
        raise BaseModelError(
            "Fine-tuning ended without a usable loss: lower the learning rate or check the base."
        )
    trainer.model.save_pretrained(work)
    sync_tree(work)
    write_atomically(work / "losses.json", json.dumps(losses))


def _silence_libraries() -> None:
    """Turn off the libraries' own progress bars and reports."""
    from datasets.utils import disable_progress_bars
    from transformers import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    disable_progress_bars()


def _data_set(rows: Sequence[TrainingExample], rehearsed: Sequence[TrainingExample], tokenizer: Any) -> Any:
    """Build TRL's data set, with the column `REHEARSED`."""
    from datasets import Dataset

    from trainer.tuning.objective import REHEARSED

    taught = [(row, 0) for row in rows]
    taught += [(row, before_the_end(row.completion, tokenizer)) for row in rehearsed]
    return Dataset.from_list(
        [{"prompt": row.prompt, "completion": row.completion, REHEARSED: n} for row, n in taught]
    )


def _trainer_settings(tuning: Tuning, work: Path) -> Any:
    from trl import SFTConfig

    on_gpu = has_gpu()
    return SFTConfig(
        output_dir=str(work), num_train_epochs=tuning.epochs, learning_rate=tuning.learning_rate,
        per_device_train_batch_size=tuning.batch, lr_scheduler_type="cosine", warmup_steps=0.05,
        weight_decay=0.0, max_grad_norm=1.0, max_length=MAX_TOKENS, completion_only_loss=True, packing=False,
        bf16=computes_in_bfloat16(), use_cpu=not on_gpu, gradient_checkpointing=False,
        seed=tuning.seed, data_seed=tuning.seed,
        logging_steps=1, logging_nan_inf_filter=False, save_strategy="epoch", save_total_limit=2,
        report_to="none", disable_tqdm=True,
        dataloader_pin_memory=on_gpu, remove_unused_columns=False,
    )  # fmt: skip


def _progress_callback(progress: Progress) -> Any:
    """Build a callback that reports every logged loss."""
    from transformers import TrainerCallback, TrainerControl, TrainerState

    class ReportLoss(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        def on_log(
            self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
        ) -> None:
            if logs and "loss" in logs:
                progress(state.global_step, state.max_steps, float(logs["loss"]))

    return ReportLoss()


def before_the_end(answer: str, tokenizer: Any) -> int:
    """Count the tokens of an answer before the fence that ends it."""
    whole = tokenizer(answer, add_special_tokens=False).input_ids
    open_ended = tokenizer(answer.removesuffix("```").rstrip(), add_special_tokens=False).input_ids
    return common_prefix(tuple(whole), tuple(open_ended))


def last_whole_checkpoint(work: Path) -> str | None:
    """Return the newest complete checkpoint; incomplete ones are removed.

    transformers writes into the final folder, so a kill leaves an incomplete one. It writes the state last.
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
