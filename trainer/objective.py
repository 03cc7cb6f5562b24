"""What a fine-tuning step minimises: the cross entropy of the answer's tokens, or of a sharper copy of the model's own.

Self-distillation at a lower temperature: the student begins as the teacher, reads answers that the teacher itself
gave, and learns at each token the distribution that the teacher has at `teacher_temperature` below 1. What it thinks
most probable stays so; what it thought improbable becomes rarer. That is the sharpening mechanism of self-training
(Huang et al. 2024, arXiv 2412.01951) without drawing the samples. Minimising the entropy itself was tried and
collapses: nothing holds the student to what it knew (docs/log.md).

Imports torch: load it only where training begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import log_softmax
from trl import SFTTrainer

STUDENT, TEACHER = "default", "teacher"
IGNORED = -100
"""Label of a token that is not trained on: the prompt, and what fills up a batch."""


def with_teacher(model: Any, adapter: Path) -> Any:
    """The base with one adapter twice: as the student that goes on from it, and frozen as the teacher."""
    both = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    both.load_adapter(str(adapter), TEACHER, is_trainable=False)
    both.set_adapter(STUDENT)
    return both


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """TRL's trainer, which computes logits for answers only.

    Off a GPU its own loss puts every token of the prompt through the head: 10.5 seconds a step instead of 6.3.
    """

    def __init__(self, *args: Any, teacher_temperature: float | None = None, **kwargs: Any) -> None:
        """Without a temperature the answers' own tokens are the target."""
        super().__init__(*args, **kwargs)
        self.teacher_temperature = teacher_temperature

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The summed cross entropy of the batch, divided by the answer tokens of the whole step; no outputs."""
        # 1. Where the first answer of the batch begins; token t is predicted at t - 1.
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        first = int((labels != IGNORED).any(dim=0).nonzero()[0])
        inputs.update(use_cache=False, logits_to_keep=labels.shape[1] - first + 1)
        labels = labels[:, first:]
        told = labels != IGNORED

        # 2. The target: one token, or the teacher's distribution.
        logits = model(**inputs).logits[:, :-1][told].float()  # (answer tokens, vocabulary)
        log_probs = log_softmax(logits, dim=-1)
        if self.teacher_temperature is None:
            loss = -log_probs.gather(1, labels[told][:, None]).sum()
        else:
            loss = -(self._teacher(model, inputs, told) * log_probs).sum()
        return loss / (told.sum() if num_items_in_batch is None else num_items_in_batch)

    def _teacher(self, model: Any, inputs: dict[str, Any], told: torch.Tensor) -> torch.Tensor:
        adapters = self.accelerator.unwrap_model(model)
        adapters.set_adapter(TEACHER)
        with torch.no_grad():
            logits = model(**inputs).logits[:, :-1][told].float()
        adapters.set_adapter(STUDENT)
        return torch.softmax(logits / self.teacher_temperature, dim=-1)
