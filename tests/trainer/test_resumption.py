"""Stop a night of a scripted model after each of its shards: it ends with the same data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import trainer.night as night
from sandbox.pool import Sandbox
from tests.support import tiny_gguf
from tests.trainer.stages.test_stages import TINY, Script
from trainer.adapter_gate import Verdict
from trainer.data.dataset import Example
from trainer.models.base import Base
from trainer.night import Arm, Model, Options, Result
from trainer.progress import Teller
from trainer.run.folder import RunFolder
from trainer.run.store import Store, digest
from trainer.tuning.finetune import Tuned
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import Settings
from ucoder_lsp.models import prepare as models

PROFILE = replace(
    TINY, task_samples=3, solutions=12, skeletons=2, keep_rated=1.0, min_cluster=2, own_answers=2, rounds=2,
    held_out=0.34,
)  # fmt: skip
BODIES = {
    name: [right, f"{right} + 0", f"{right} - 0", "len(numbers)", "numbers[0]", "numbers[-1]"]
    for name, right in (("second", "sorted(numbers)[-2]"), ("total", "sum(numbers)"))
}


class Stopped(BaseException):
    """The end of a run, as by SIGKILL: no handler of the trainer catches it."""


class MortalStore(Store):
    """A store that makes one new shard per item of `allowed`, and then stops the run."""

    def __init__(self, folder: Path, allowed: Iterator[int]) -> None:
        super().__init__(folder)
        self.allowed = allowed

    def get_or_make(self, stage: Any, parts: Any, make: Callable[[], Any], *others: Any) -> Any:
        def make_unless_stopped() -> Any:
            if next(self.allowed, None) is None:
                raise Stopped
            return make()

        return super().get_or_make(stage, parts, make_unless_stopped, *others)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Replace what `train` works with: scripted samples, one sandbox, and an untrained adapter."""
    base, adapted = Script(BODIES), Script(BODIES)
    adapted.adapter, adapted.asked = "adapter", base.asked

    def finetune(_: Base, rows: Sequence[Example], __: object, parent: Path, *___: object) -> Tuned:
        tuned = Tuned(parent / digest([asdict(row) for row in rows])[:16], ((1, 0.5),))
        tuned.folder.mkdir(parents=True, exist_ok=True)
        (tuned.folder / "adapter_config.json").write_text("{}")
        tiny_gguf.write_adapter(tuned.gguf, seed=1)
        return tuned

    monkeypatch.setattr(night, "has_gpu", lambda: False)
    monkeypatch.setattr(night, "open_engines", lambda *_, **__: nullcontext(base.engines))
    monkeypatch.setattr(night, "Sampler", lambda _: base)
    monkeypatch.setattr(night, "_adapted", lambda *_: adapted)
    monkeypatch.setattr(night, "finetune", finetune)
    monkeypatch.setattr(Verdict, "accepted", property(lambda _: True))
    with Sandbox(lowest_tier=1) as sandbox:
        monkeypatch.setattr(night, "Sandbox", lambda **_: nullcontext(sandbox))
        yield base


@pytest.fixture
def model(tmp_path: Path) -> Model:
    path = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    prepared = models.PreparedModel(path, "id", path, models.file_sha256(path), "as-is")
    return Model(prepared, Base(tmp_path, path), "tiny.gguf")


def train(run: Path, model: Model, arm: Arm = "consensus") -> Result:
    settings = Settings(
        model=str(model.base.gguf), data_dir=run.with_suffix(".data"), cache_dir=run.with_suffix(".cache")
    )
    folder, teller = RunFolder(run), Teller(console=Console(quiet=True))
    with folder.locked():
        return night.train(folder, model, Options(PROFILE, arm), settings, teller)


def test_a_run_stopped_at_every_shard_ends_with_the_same_data_set(
    tmp_path: Path, model: Model, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole", model)
    asked = list(script.asked)
    script.asked.clear()
    stopped, n_stops = tmp_path / "stopped", 0
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "store", property(lambda run: MortalStore(run.path / "shards", allowed)))
        while True:
            allowed = iter([1])
            try:
                result = train(stopped, model)
                break
            except Stopped:
                n_stops += 1
    shards = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").glob("shards/*/*.json")]
    assert {path.parent.name for path in shards} >= {"problems", "selection", "own answers", "gate"}
    assert n_stops == len(shards) - 1
    assert sorted(script.asked) == sorted(asked), "no prompt is sampled twice"
    for path in (*shards, "consensus/dataset.jsonl", "consensus/own-answers.jsonl"):
        assert (stopped / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    assert (result.dataset_sha256, result.own_answers_sha256) == (
        whole.dataset_sha256,
        whole.own_answers_sha256,
    )
    (version,) = AdapterRegistry(
        tmp_path / "stopped.data" / "adapters", model.prepared.source_sha256
    ).versions()
    assert (version.version, True) == (result.version, result.served)


def test_the_control_arm_draws_from_the_same_shards_and_is_never_served_by_itself(
    tmp_path: Path, model: Model, script: Script
) -> None:
    run = tmp_path / "run"
    chosen = train(run, model)
    script.asked.clear()
    control = train(run, model, "random")
    assert not any("Tests, edge cases" in prompt for prompt in script.asked), "samples are found again"
    assert control.dataset_sha256 != chosen.dataset_sha256
    assert (control.programs, control.learned) == (chosen.programs, chosen.learned)
    registry = AdapterRegistry(tmp_path / "run.data" / "adapters", model.prepared.source_sha256)
    assert control.version is not None
    assert registry.get(control.version).manifest.training_run.startswith("run/random/")
    current = registry.current()
    assert current is not None
    assert (current.version, control.served) == (chosen.version, False)
    assert json.loads((run / "random" / "result.json").read_text())["version"] == control.version
