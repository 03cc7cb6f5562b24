"""Checkpoints of a killed fine-tuning."""

from __future__ import annotations

from pathlib import Path

from trainer.tuning.finetune import last_whole_checkpoint


def test_torn_checkpoints_are_skipped(tmp_path: Path) -> None:
    for step, files in (
        (2, ("adapter_model.safetensors", "optimizer.pt", "trainer_state.json")),
        (10, ("adapter_model.safetensors", "optimizer.pt")),
    ):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in files:
            (folder / name).write_text("{}")
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert not (tmp_path / "checkpoint-10").exists()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{")
    assert last_whole_checkpoint(tmp_path) is None
