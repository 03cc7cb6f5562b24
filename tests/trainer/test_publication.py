"""The publication of an adapter: once, and reported as served only where servers serve it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support import tiny_gguf
from tests.trainer.run.whole_run import WHOLE
from trainer import cli as train_cli
from trainer.errors import TrainerError
from trainer.evaluation.statistics import Estimate
from trainer.models.base import Base
from trainer.night import Options, ServedBase, is_served, publish
from trainer.profile import PROFILES
from trainer.result import Acceptance, Result
from trainer.run.folder import RunFolder, RunRecord
from trainer.tuning.finetune import Tuned
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import Settings
from ucoder_lsp.files import file_sha256
from ucoder_lsp.models.prepare import PreparedModel

SHARE = Estimate(0.5, 0.4, 0.6)
ACCEPTANCE = Acceptance(SHARE, SHARE, SHARE, 10)
METRICS = {"final_loss": 0.5}
OPTIONS = Options(PROFILES["tiny"])


@pytest.fixture
def model(tmp_path: Path) -> ServedBase:
    path = tiny_gguf.write_model(tmp_path / "tiny.gguf")
    prepared = PreparedModel(path, "id", path, file_sha256(path), "as-is")
    return ServedBase(prepared, Base(tmp_path, path), "tiny.gguf")


@pytest.fixture
def settings(tmp_path: Path, model: ServedBase) -> Settings:
    """Settings under which servers serve the trained model."""
    return Settings(model=str(model.base.gguf), data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture
def registry(model: ServedBase, settings: Settings) -> AdapterRegistry:
    return AdapterRegistry(settings.data_dir / "adapters", model.prepared.source_sha256)


def trained(folder: Path) -> Tuned:
    tuned = Tuned(folder / "0123", ((1, 0.5),))
    tuned.folder.mkdir(parents=True)
    (tuned.folder / "adapter_config.json").write_text("{}")
    tiny_gguf.write_adapter(tuned.gguf, seed=1)
    return tuned


def test_a_run_that_was_killed_after_publishing_finds_its_version_again(
    tmp_path: Path, model: ServedBase, settings: Settings, registry: AdapterRegistry
) -> None:
    run, tuned = RunFolder(tmp_path / "run"), trained(tmp_path / "finetune")
    version = publish(registry, model, run, OPTIONS, 1, tuned, METRICS)
    registry.use(None)  # as if killed before it became the current one
    assert publish(registry, model, run, OPTIONS, 1, tuned, METRICS) == version
    assert [found.version for found in registry.versions()] == [version]
    assert is_served(version, registry, model, settings)
    # Once as GGUF, once as PEFT wrote it.
    assert set(registry.get(version).manifest.files) == {"adapter.gguf", "peft/adapter_config.json"}


def test_a_damaged_version_of_another_night_does_not_stop_the_publication(
    tmp_path: Path, model: ServedBase, registry: AdapterRegistry
) -> None:
    run, tuned = RunFolder(tmp_path / "run"), trained(tmp_path / "finetune")
    old, new = (registry.publish(tuned.gguf, base_name="b", training_run="r", metrics={}) for _ in range(2))
    (old.folder / "manifest.json").write_text("{")
    version = publish(registry, model, run, OPTIONS, 1, tuned, METRICS)
    assert registry.current() == registry.get(version)
    assert version not in (old.version, new.version)


def test_a_rolled_back_adapter_is_not_reported_as_served(
    tmp_path: Path, model: ServedBase, settings: Settings, registry: AdapterRegistry
) -> None:
    run, tuned = RunFolder(tmp_path / "run"), trained(tmp_path / "finetune")
    version = publish(registry, model, run, OPTIONS, 1, tuned, METRICS)
    run.arm("consensus")
    run.write("consensus/result.json", json.dumps(WHOLE["consensus/result.json"] | {"nights": 1}))
    registry.rollback()
    assert publish(registry, model, run, OPTIONS, 1, tuned, METRICS) == version
    assert registry.current() is None
    assert not is_served(version, registry, model, settings)
    # Killed after publishing it in another night, before that night's result was written.
    assert publish(registry, model, run, OPTIONS, 2, tuned, METRICS) == version
    assert is_served(version, registry, model, settings)


def test_an_adapter_is_served_where_the_setting_names_its_base(
    tmp_path: Path, model: ServedBase, settings: Settings, registry: AdapterRegistry
) -> None:
    version = publish(registry, model, RunFolder(tmp_path / "run"), OPTIONS, 1, trained(tmp_path), METRICS)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(model.base.gguf.read_bytes())
    other = tiny_gguf.write_model(tmp_path / "other.gguf", seed=1)
    for named, served in ((copy, True), (other, False), ("embedded", False), (tmp_path / "gone.gguf", False)):
        assert is_served(version, registry, model, replace(settings, model=str(named))) is served


def test_a_damaged_current_adapter_does_not_stop_the_publication(
    tmp_path: Path, model: ServedBase, settings: Settings, registry: AdapterRegistry
) -> None:
    tuned = trained(tmp_path / "finetune")
    chosen = registry.publish(tuned.gguf, base_name="b", training_run="r", metrics={})
    (chosen.folder / "manifest.json").write_text("{")
    control = replace(OPTIONS, arm="random")
    version = publish(registry, model, RunFolder(tmp_path / "run"), control, 1, tuned, METRICS)
    assert not is_served(version, registry, model, settings)


@pytest.mark.parametrize(
    ("served", "configured", "says"),
    [
        (True, True, "It is served from now on."),
        (False, True, "It is not served: `ucoder adapters use 0001-aa` serves it."),
        (False, False, "It is not served: to serve it, set model = {base}"),
    ],
)
def test_the_command_explains_how_to_serve_the_adapter(
    tmp_path: Path,
    model: ServedBase,
    monkeypatch: pytest.MonkeyPatch,
    served: bool,
    configured: bool,
    says: str,
) -> None:
    result = Result("0001-aa", served, ACCEPTANCE, 1, 1, 2, 3, 0, "0" * 64, None, tmp_path / "report.html")
    monkeypatch.setenv("UCODER_DATA_DIR", str(tmp_path / "data"))
    if configured:
        monkeypatch.setenv("UCODER_MODEL", str(model.base.gguf))
    monkeypatch.setattr(train_cli, "prepare", lambda *_: model)
    monkeypatch.setattr(train_cli, "train_run", lambda *_: result)
    done = CliRunner().invoke(train_cli.train, ["run"])
    assert done.exit_code == 0, done.output
    assert says.format(base=model.base.gguf) in done.stdout


def test_another_seed_is_another_run(
    tmp_path: Path, model: ServedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: RunFolder, _: ServedBase, options: Options, *__: object) -> Result:
        run.open(RunRecord.of(options.profile, "embedded", "m", frozenset(), four_bit=False))
        raise TrainerError(f"seed {options.profile.seed}")

    monkeypatch.setenv("UCODER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(train_cli, "prepare", lambda *_: model)
    monkeypatch.setattr(train_cli, "train_run", stop)
    for more, says in (
        ([], "Error: seed 0"),
        (["--seed", "1"], r"Error: The run 'small' .* numbers of its profile \(seed\): .* --run name"),
        (["--seed", "1", "--run", "one"], "Error: seed 1"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
    ):
        done = CliRunner().invoke(train_cli.train, ["run", *more])
        assert done.exit_code == 2
        assert re.search(says, done.output), done.output
