"""What a run keeps on disk: shards written once and whole, one process at a time, sentences for what goes wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trainer import cli as train_cli
from trainer.cli import train
from trainer.data.dataset import Control
from trainer.errors import StoreError, TrainerError
from trainer.night import Budget, budget_of_consensus, unselected
from trainer.pipeline import Funnel, shown_value
from trainer.profile import PROFILES
from trainer.progress import Teller
from trainer.report import curve, write_report
from trainer.run.folder import RunFolder
from trainer.run.store import Store
from trainer.stages.problems import Problem
from trainer.stages.selection import Selected
from trainer.tuning.finetune import last_whole_checkpoint


def test_a_shard_is_made_once_and_found_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, object]:
        calls.append(1)
        return {"a": (1, 2)}

    for _ in range(2):
        assert Store(tmp_path).get_or_make("stage", ["k", {"b": 1}], make) == {"a": [1, 2]}
    assert len(calls) == 1
    assert Store(tmp_path).get("stage", ["k", {"b": 2}]) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.get_or_make("stage", "k", lambda: [1, 2, 3])
    (path,) = tmp_path.glob("stage/*.json")
    text = path.read_text()
    path.write_text({"cut": text[:-9], "changed": text.replace("[1, 2, 3]", "[1, 2, 4]"), "empty": "", "other": "[]"}[damage])  # fmt: skip  # noqa: E501
    assert store.get("stage", "k") is None
    assert store.get_or_make("stage", "k", lambda: [1, 2, 3]) == [1, 2, 3]
    assert path.read_text() == text


def test_threads_that_make_the_same_shard_do_not_disturb_one_another(tmp_path: Path) -> None:
    """Two problems may be worded alike, and then their prompts are one piece of work, begun twice."""
    store, meeting = Store(tmp_path), Barrier(8, timeout=20)

    def make() -> list[str]:
        meeting.wait()
        return ["made"] * 1000

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            found = threads.map(lambda _, key=number: store.get_or_make("stage", key, make), range(8))
            assert list(found) == [["made"] * 1000] * 8


def test_remains_of_killed_writers_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    folder = tmp_path / "shards" / "stage"
    folder.mkdir(parents=True)
    dead = [
        tmp_path / f".progress.json.{gone.stdout.strip()}.part",
        folder / f".x.json.{gone.stdout.strip()}.part",
    ]
    alive = folder / f".x.json.{os.getpid()}.part"
    for path in (*dead, alive):
        path.write_text("{")
    RunFolder(tmp_path).clean()
    assert [path.exists() for path in (*dead, alive)] == [False, False, True]


def test_a_full_disk_is_one_sentence_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """A real refusal of the system: no file of this process may grow beyond 1,000 bytes."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from trainer.errors import StoreError; from trainer.run.store import Store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "store = Store(Path(sys.argv[1])); store.get_or_make('stage', 'small', lambda: 1)\n"
        "try: store.get_or_make('stage', 'large', lambda: 'x' * 5000)\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Cannot write ")
    assert done.stdout.count("\n") == 1
    assert Store(tmp_path).get("stage", "small") == 1
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_run_keeps_what_it_was_started_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    with pytest.raises(StoreError, match=r"another --profile: repeat .*--run name"):
        run.open(PROFILES["small"], "embedded", "m", frozenset(), four_bit=False)
    with pytest.raises(StoreError, match="another --exclude:"):
        run.open(PROFILES["tiny"], "embedded", "m", frozenset({"a b"}), four_bit=False)
    with pytest.raises(StoreError, match="another --qlora:"):
        run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=True)
    with pytest.raises(StoreError, match=r"another --base, served model \(--served, .*\):"):
        run.open(PROFILES["tiny"], "other", "n", frozenset(), four_bit=False)
    with pytest.raises(
        StoreError, match=r"other numbers of its profile \(rank\): give this one another --run"
    ):
        run.open(replace(PROFILES["tiny"], rank=8), "embedded", "m", frozenset(), four_bit=False)
    about = run.read("run.json")
    del about["qlora"]  # as an earlier version wrote it
    run.write("run.json", json.dumps(about))
    run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    with pytest.raises(StoreError, match="another --qlora:"):
        run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=True)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)


WHOLE: dict[str, dict[str, object]] = {
    "run.json": {"profile": {"name": "tiny"}, "base": "embedded", "nights": 2},
    "progress.json": {"stage": "tests", "done": 1, "total": 2, "note": ""},
    "consensus/result.json": {
        "version": None,
        "nights": 2,
        "programs": 1,
        "examples": 3,
        "learned": 1,
        "rehearsed": 5,
        "report": "r.html",
    },
}


def test_another_night_is_added_to_a_finished_run_and_to_no_other(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)

    def nights(**how: bool) -> int:
        return run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False, **how)

    def finish(**about: int) -> None:
        run.arm("consensus")
        run.write(
            "consensus/result.json", json.dumps({"version": None, "examples": 3, "report": "r", **about})
        )

    assert nights(another=True) == nights(another=True) == 1, "the first one is not finished"
    finish()  # as an earlier version wrote it
    about = run.read("run.json")
    del about["nights"]
    run.write("run.json", json.dumps(about))
    assert nights() == 1
    assert nights(another=True) == nights(another=True) == nights() == 2, (
        "killed in the second, it comes first"
    )
    finish(nights=2)
    assert nights() == 2
    assert nights(another=True) == 3


def test_status_tells_a_night_that_was_stopped_from_those_before(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "x"
    for relative, whole in WHOLE.items():
        (run / relative).parent.mkdir(parents=True, exist_ok=True)
        (run / relative).write_text(json.dumps(whole))

    def status() -> str:
        return CliRunner(env={"UCODER_DATA_DIR": str(tmp_path)}).invoke(train, ["status"]).stdout

    assert status().startswith("Run x: base embedded, profile tiny, 2 nights\n")
    assert "Stopped" not in status()
    (run / "run.json").write_text(json.dumps(WHOLE["run.json"] | {"nights": 3}))
    assert "Stopped in tests at 1 of 2: the command that started it goes on from there." in status()
    assert "consensus: not published, 3 examples" in status()


def test_another_night_has_no_control_arm() -> None:
    done = CliRunner().invoke(train, ["run", "--another", "--select", "random"])
    assert done.exit_code == 2
    assert "leave --another out" in done.stderr


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from(sorted(WHOLE)), json_values | st.text(), st.data())
def test_a_file_of_a_run_that_holds_something_else_is_named_in_one_sentence(
    name: str, found: object, data: st.DataObject
) -> None:
    """Status reads all three: any JSON in place of one, or of one of its fields, and any text."""
    if data.draw(st.booleans()):
        found = WHOLE[name] | {data.draw(st.sampled_from(sorted(WHOLE[name]))): found}
    text = found if isinstance(found, str) else json.dumps(found)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "runs" / "x"
        for relative, whole in WHOLE.items():
            (run / relative).parent.mkdir(parents=True, exist_ok=True)
            (run / relative).write_text(text if relative == name else json.dumps(whole), "utf-8")
        shown = CliRunner(env={"UCODER_DATA_DIR": folder}).invoke(train, ["status", "--run", "x"])
    assert shown.exit_code in (0, 2), shown.exception
    if shown.exit_code == 2:
        assert f"{run / name} is damaged" in shown.stderr
        assert shown.stderr.count("\n") == 1


def test_two_processes_do_not_train_in_one_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "r")
    assert not run.is_at_work
    with run.locked():
        assert run.is_at_work
        with pytest.raises(StoreError, match="Another process is training"), run.locked():
            pass
    assert not run.is_at_work


def test_torn_checkpoints_are_passed_over(tmp_path: Path) -> None:
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


def test_progress_is_lines_in_a_log_and_a_file_for_status(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log:  # rich wants a text stream
        teller = Teller(tmp_path / "progress.json", Console(file=log))
        with teller.stage("tests", 3, "problems") as step:
            for done in (1, 2, 3):
                step(done, "fine")
    text = (tmp_path / "log").read_text()
    assert "tests: 0 of 3" in text
    assert "tests: 3 of 3 (" in text
    state = json.loads((tmp_path / "progress.json").read_text())
    assert (state["stage"], state["done"], state["total"]) == ("tests", 3, 3)


def test_progress_that_cannot_be_written_stops_no_work(tmp_path: Path) -> None:
    teller = Teller(tmp_path / "gone" / "progress.json")
    with teller.stage("tests", 1, "problems") as step:
        step(1)
    teller.say("done")


def test_the_report_escapes_what_the_model_wrote(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    funnel = Funnel()
    funnel.count("problems", "kept", "<script>alert(1)</script>", "a < b & c")
    funnel.count("problems", "has no docstring", "t", "x")
    run.arm("consensus")
    page = write_report(
        tmp_path / "consensus", run, "consensus", funnel, [(1, 0.5), (2, 0.25)], None
    ).read_text()
    assert "<script>" not in page
    assert "a &lt; b &amp; c" in page
    assert "has no docstring" in page
    assert "From 0.500 to 0.250 over 2 steps" in page
    assert "<polyline" in page
    assert curve([]) is None
    assert curve([(1, 0.0)]) is not None


def test_the_report_counts_nights_where_there_are_several(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(PROFILES["tiny"], "embedded", "m", frozenset(), four_bit=False)
    run.arm("consensus")
    about = run.read("run.json")
    shown = []
    for nights in ({}, {"nights": 1}, {"nights": 3}):
        run.write("run.json", json.dumps({k: v for k, v in about.items() if k != "nights"} | nights))
        page = write_report(tmp_path / "consensus", run, "consensus", Funnel(), [], None).read_text()
        shown.append(re.findall(r"of \d+ nights", page))
    assert shown == [[], [], ["of 3 nights"]]


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
        (["run", "--served", "text.gguf"], "--served belongs to a base of your own: name it with --base"),
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
def test_a_missing_library_is_told_before_anything_is_done(
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


def test_the_control_arm_is_as_large_as_the_finished_run_and_knows_no_judge(tmp_path: Path) -> None:
    def about(number: int) -> Problem:
        return Problem("Do it.", "hint", f"f{number}", f"def f{number}(xs: list) -> int:")

    pool = [Control(about(n % 10), f"def f{n % 10}(xs): return {n}", ("assert 1",)) for n in range(60)]
    held = [Selected(about(3), ("def f3(xs): return 3",), ("assert 1",), 0.5, 3, 8, 2)]
    run = RunFolder(tmp_path)
    with pytest.raises(TrainerError, match="without --select random come to its end"):
        budget_of_consensus(run, nights=1)
    run.arm("consensus")
    counts = {"programs": 20, "examples": 47, "learned": 7, "rehearsed": 5}
    run.write("consensus/result.json", json.dumps(WHOLE["consensus/result.json"] | counts))
    with pytest.raises(TrainerError, match="without --select random come to its end"):
        budget_of_consensus(run, nights=3)
    budget = budget_of_consensus(run, nights=1)
    assert budget == Budget(programs=20, learned=7, rehearsed=5)
    picked = unselected(budget.programs, pool, held, seed=0)
    assert len(picked) == 20
    assert "f3" not in {problem.function for problem, _, _ in picked}
    earlier = {"version": None, "programs": 20, "examples": 40, "rehearsed": 5, "report": "r"}
    run.write("consensus/result.json", json.dumps(earlier))
    with pytest.raises(TrainerError, match="without --select random come to its end"):
        budget_of_consensus(run, nights=1)


@pytest.mark.parametrize(
    ("own", "claims", "selected", "control"),
    [
        ([(), ("assert f() == 3",), ("assert f() == 2",)], ["assert f() == 2"], "assert f() == 2", "assert f() == 3"),
        ([("assert f() == 3",)], [], None, "assert f() == 3"),
        ([(), ()], [], None, None),
    ],
)  # fmt: skip
def test_the_control_arm_is_asked_with_nothing_that_was_selected(
    own: list[tuple[str, ...]], claims: list[str], selected: str | None, control: str | None
) -> None:
    examined = {"own_asserts": own, "claims": claims}
    assert shown_value(examined, selected=True) == selected
    assert shown_value(examined, selected=False) == control
