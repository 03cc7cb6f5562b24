"""The command `ucoder train`: its status, its messages."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.run.whole_run import WHOLE, write_run
from trainer import cli as train_cli
from trainer.cli import train


def test_status_shows_a_stopped_night_after_finished_ones(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "x"
    write_run(run)

    def status() -> str:
        return CliRunner(env={"UCODER_DATA_DIR": str(tmp_path)}).invoke(train, ["status"]).stdout

    assert status().startswith("Run x: base embedded, profile tiny, 2 nights\n")
    assert "Stopped" not in status()
    (run / "run.json").write_text(json.dumps(WHOLE["run.json"] | {"nights": 3}))
    assert "Stopped in tests at 1 of 2: the command that started it continues from there." in status()
    assert "consensus: not published, 3 examples" in status()


def test_another_night_and_the_control_arm_exclude_each_other() -> None:
    done = CliRunner().invoke(train, ["run", "--another", "--select", "random"])
    assert done.exit_code == 2
    assert "leave --another out" in done.stderr


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from(sorted(WHOLE)), json_values | st.text(), st.data())
def test_a_damaged_file_of_a_run_is_named_in_one_sentence(
    name: str, found: object, data: st.DataObject
) -> None:
    """The status reads all three: each is replaced, or one of its fields, by any JSON or any text."""
    if data.draw(st.booleans()):
        found = WHOLE[name] | {data.draw(st.sampled_from(sorted(WHOLE[name]))): found}
    text = found if isinstance(found, str) else json.dumps(found)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "runs" / "x"
        write_run(run, **{name: text})
        shown = CliRunner(env={"UCODER_DATA_DIR": folder}).invoke(train, ["status", "--run", "x"])
    assert shown.exit_code in (0, 2), shown.exception
    if shown.exit_code == 2:
        assert re.search(rf"{run / name} (is damaged|has no '\w+',)", shown.stderr)
        assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["run", "--base", "nowhere.gguf"],
            "nowhere.gguf does not exist: give a GGUF file or a Hugging Face",
        ),
        (["run", "--base", "text.gguf"], "text.gguf is not a GGUF file"),
        (["run", "--base", "folder"], "config.json"),
        (
            ["run", "--base", "gpt2"],
            "does not support the architecture 'gpt2': use a base of type llama or qwen2",
        ),
        (["run", "--served", "text.gguf"], "--served needs a base model of your own: name it with --base"),
        (["run", "--base", "folder", "--served", "text.gguf"], "text.gguf is not a GGUF file"),
        (["run", "--exclude", "text.gguf"], "text.gguf cannot be read as JSON lines"),
        (["status"], "There is no run in"),
        (["status", "--run", "x"], "start one with `ucoder train run`"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        train_cli, "require_libraries", lambda **_: None
    )  # the same with and without the extra
    monkeypatch.chdir(tmp_path)
    Path("text.gguf").write_text("hello")
    Path("folder").mkdir()
    Path("gpt2").mkdir()
    Path("gpt2", "config.json").write_text('{"model_type": "gpt2"}')
    done = CliRunner().invoke(train, arguments)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "says"),
    [
        ("trl", [], "pip install '.[train]'"),
        ("datasets", [], "pip install '.[train]'"),
        ("bitsandbytes", ["--qlora"], "pip install '.[gpu]'"),
    ],
)
def test_a_missing_library_stops_the_command_at_its_start(
    missing: str, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*_: object) -> None:
        raise AssertionError("a night would have begun")

    pytest.importorskip("trl", reason="needs the train extra")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(train_cli, "prepare", prepare)
    done = CliRunner().invoke(train, ["run", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert says in done.stderr
