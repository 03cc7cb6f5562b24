"""The loss of fine-tuning.

Cross-entropy on selected programs, distillation on the base's own answers.

An adapter that learns a few selected programs forgets what else its base could do, so it rehearses: it reads answers
that the base itself gave, right or wrong. At each token it learns the distribution that the base has at
`teacher_temperature` below 1. What the base finds most probable stays so, and the improbable becomes rarer.

That is the sharpening mechanism of self-training (Huang et al. 2024, arXiv 2412.01951) without drawing the samples. It
keeps the adapter where its base was. Only the end of an answer is taught by its tokens, because the base does not
stop. Minimising the entropy itself collapsed: nothing holds the student to its base (`docs/decisions.md`, "Own answers
are rehearsed, entropy is not minimised").

Imports torch: load it only where training begins.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import log_softmax
from trl import SFTTrainer

from trainer.tuning.length_grouping import LengthGroupedSampler

IGNORED = -100
"""Label of a token that is not trained on: the prompt, and padding."""
REHEARSED = "rehearsed"
"""Column of the data: how many tokens of the answer, from its first, the base teaches; 0 for a selected program."""


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """Trains on selected programs and rehearsed answers, with TRL.

    It computes logits of answer tokens only. Without a GPU, TRL's own loss puts every token of the prompt through the
    output head: 10.5 seconds per step instead of 6.3. Needs `remove_unused_columns=False`, for the column `REHEARSED`.
    """

    def __init__(self, *args: Any, teacher_temperature: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher_temperature = teacher_temperature
        collate: Any = self.data_collator  # type: ignore[has-type]

        def with_rehearsed(rows: list[dict[str, Any]]) -> dict[str, Any]:
            return {**collate(rows), REHEARSED: torch.tensor([row[REHEARSED] for row in rows])}

        self.data_collator = with_rehearsed

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        """Return the order of rows.

        The trainer offers random or long to short.
        """
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(tokens) for tokens in rows["input_ids"]]
        return LengthGroupedSampler(lengths, self.args.per_device_train_batch_size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of the batch, and never outputs.

        It is summed over tokens and divided by the answer tokens of the whole step.
        """
        # 1. Where the first answer of the batch begins; token t is predicted at t - 1.
        inputs = dict(inputs)
        labels, rehearsed = inputs.pop("labels"), inputs.pop(REHEARSED)
        first = int((labels != IGNORED).any(dim=0).nonzero()[0])
        kept = {"use_cache": False, "logits_to_keep": labels.shape[1] - first + 1}
        labels = labels[:, first:]
        is_answer = labels != IGNORED  # (batch, time)
        from_base = is_answer & (is_answer.cumsum(dim=1) <= rehearsed[:, None])

        # 2. Cross-entropy with the answers' own tokens.
        logits = model(**inputs, **kept).logits[:, :-1][is_answer].float()  # (answer tokens, vocabulary)
        log_probs = log_softmax(logits, dim=-1)
        losses = -log_probs.gather(1, labels[is_answer][:, None])[:, 0]

        # 3. On rehearsed tokens instead: cross-entropy with the base's distribution.
        rows = rehearsed > 0
        if rows.any():
            taught = {name: values[rows] for name, values in inputs.items()}
            with torch.no_grad(), self.accelerator.unwrap_model(model).disable_adapter():
                logits = model(**taught, **kept).logits[:, :-1][from_base[rows]].float()
            wanted = torch.softmax(logits / self.teacher_temperature, dim=-1)
            losses[from_base[is_answer]] = -(wanted * log_probs[from_base[is_answer]]).sum(-1)
        return losses.sum() / (is_answer.sum() if num_items_in_batch is None else num_items_in_batch)
