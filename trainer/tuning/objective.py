"""What a fine-tuning step minimises: of chosen programs the cross entropy, of the base's own answers a sharper copy.

An adapter that learns a few chosen programs forgets what else its base could do, so it rehearses: it reads answers
that the base itself gave, right or wrong, and learns at each token the distribution that the base has at
`teacher_temperature` below 1. What the base thinks most probable stays so; what it thought improbable becomes rarer.
That is self-training's sharpening mechanism (Huang et al. 2024, arXiv 2412.01951) without drawing the samples, and it
keeps the adapter where its base was. Only where an answer ends is taught by token, for the base runs on. Minimising
the entropy itself was tried and collapses: nothing holds the student to what it knew (docs/log.md).

Imports torch: load it only where training begins.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import log_softmax
from trl import SFTTrainer

from trainer.tuning.length_grouping import AlikeLengths

IGNORED = -100
"""Label of a token that is not trained on: the prompt, and what fills up a batch."""
REHEARSED = "rehearsed"
"""Column of the data: how many tokens of the answer, from its first, the base teaches; 0 for a chosen program."""


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """TRL's trainer, which computes logits for answers only, and asks the base about those that it rehearses.

    Off a GPU TRL's own loss puts every token of the prompt through the head: 10.5 seconds a step instead of 6.3.
    Needs `remove_unused_columns=False`, for the column `REHEARSED`.
    """

    def __init__(self, *args: Any, teacher_temperature: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher_temperature = teacher_temperature
        collate: Any = self.data_collator  # type: ignore[has-type]

        def with_rehearsed(rows: list[dict[str, Any]]) -> dict[str, Any]:
            return {**collate(rows), REHEARSED: torch.tensor([row[REHEARSED] for row in rows])}

        self.data_collator = with_rehearsed

    def _get_train_sampler(self, train_dataset: Any = None) -> AlikeLengths:
        """The trainer's own hook for the order of rows: its two sorts are random, and long to short (`batches`)."""
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(tokens) for tokens in rows["input_ids"]]
        return AlikeLengths(lengths, self.args.per_device_train_batch_size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The summed cross entropy of the batch, divided by the answer tokens of the whole step; no outputs."""
        # 1. Where the first answer of the batch begins; token t is predicted at t - 1.
        inputs = dict(inputs)
        labels, rehearsed = inputs.pop("labels"), inputs.pop(REHEARSED)
        first = int((labels != IGNORED).any(dim=0).nonzero()[0])
        kept = {"use_cache": False, "logits_to_keep": labels.shape[1] - first + 1}
        labels = labels[:, first:]
        told = labels != IGNORED  # (batch, time)
        from_base = told & (told.cumsum(dim=1) <= rehearsed[:, None])

        # 2. Against the answers' own tokens.
        logits = model(**inputs, **kept).logits[:, :-1][told].float()  # (answer tokens, vocabulary)
        log_probs = log_softmax(logits, dim=-1)
        losses = -log_probs.gather(1, labels[told][:, None])[:, 0]

        # 3. Where it rehearses: against the base's distribution.
        rows = rehearsed > 0
        if rows.any():
            asked = {name: values[rows] for name, values in inputs.items()}
            with torch.no_grad(), self.accelerator.unwrap_model(model).disable_adapter():
                logits = model(**asked, **kept).logits[:, :-1][from_base[rows]].float()
            wanted = torch.softmax(logits / self.teacher_temperature, dim=-1)
            losses[from_base[told]] = -(wanted * log_probs[from_base[told]]).sum(-1)
        return losses.sum() / (told.sum() if num_items_in_batch is None else num_items_in_batch)
