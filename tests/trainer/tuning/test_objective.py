"""The loss: cross-entropy on selected programs, distillation on the base's own answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.tuning.examples import FOUR_BIT, OWN, ROWS, SLOW_AND_NOISY, TUNING, quiet
from trainer.data.dataset import TrainingExample
from trainer.models.base import Base
from trainer.tuning.finetune import MAX_TOKENS, Tuned, before_the_end, finetune

pytestmark = SLOW_AND_NOISY


@FOUR_BIT
def test_rehearsed_answers_keep_the_distribution_of_the_base_but_sharper(
    base: Base, four_bit: bool, tmp_path: Path
) -> None:
    if four_bit:
        pytest.importorskip("bitsandbytes", reason="needs the gpu extra")
    tuning = replace(TUNING, four_bit=four_bit, teacher_temperature=0.5, epochs=8, learning_rate=5e-3)
    alone = finetune(base, ROWS[:2], tuning, tmp_path, quiet)
    both = finetune(base, ROWS[:2], tuning, tmp_path, quiet, OWN)
    assert both.folder != alone.folder
    assert both.losses[-1][1] < both.losses[0][1]

    # The last row is left out: the end of an answer is taught by its tokens.
    before, without, after = (_log_probs(base, t, OWN[0], four_bit)[:-1] for t in (None, alone, both))
    entropies = [float(-(logs.exp() * logs).sum(-1).mean()) for logs in (before, after)]
    assert entropies[1] < 0.95 * entropies[0]
    wanted = (before / 0.5).softmax(-1)  # the teacher: the base at its temperature
    assert _divergence(wanted, after) < 0.8 * _divergence(wanted, before)
    assert _divergence(wanted, after) < 0.8 * _divergence(wanted, without)


def test_the_end_of_an_answer_is_taught_by_its_tokens(base: Base, tmp_path: Path) -> None:
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
    """Log-probabilities after the prompt and each token of the answer: (answer tokens + 1, vocabulary)."""
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

    rows = [
        replace(row, prompt="Longer. " * i + row.prompt) for i, row in enumerate(ROWS)
    ]  # answers begin at different tokens
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


def test_a_row_whose_answer_is_truncated_away_is_left_out(base: Base, tmp_path: Path) -> None:
    """TRL leaves it out, and the loss relies on that: every batch has at least one answer token."""
    endless = replace(ROWS[0], prompt="No end. " * MAX_TOKENS)
    tuned = finetune(base, [*ROWS, *[endless] * 2], replace(TUNING, batch=1, epochs=1), tmp_path, quiet)
    assert len(tuned.losses) == len(ROWS)
