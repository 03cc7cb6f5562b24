"""Downloads over HTTP: resumed, and never mistaken for the file."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_server import CONTENT, FILE, REPO, Offer, entry, serving
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources import url as url_module
from ucoder_lsp.models.sources.hub import HubSource
from ucoder_lsp.models.sources.types import NoMeter
from ucoder_lsp.models.sources.url import UrlSource

ENTRY = entry()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use no proxy of the machine, and do not wait between retries."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(url_module, "RETRY_WAIT_S", 0.0)


def deliver(url: str, folder: Path) -> Path:
    return UrlSource(url).deliver(ENTRY, folder, NoMeter())


def test_a_base_url_and_the_address_of_the_file_both_work(tmp_path: Path) -> None:
    with serving(offer := Offer()) as base:
        for url in (base + "/models", base + "/models/", base + "/models/other-name.gguf"):
            folder = tmp_path / str(len(offer.requests))
            folder.mkdir()
            assert deliver(url, folder).read_bytes() == CONTENT
    assert [path for _, path, _ in offer.requests] == [*[f"/models/{FILE}"] * 2, "/models/other-name.gguf"]


def test_a_redirect_is_followed(tmp_path: Path) -> None:
    with serving(Offer(redirect_to="/elsewhere")) as base:
        assert deliver(base, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("states_length", [True, False])
def test_an_interrupted_download_goes_on_where_it_ended(tmp_path: Path, states_length: bool) -> None:
    with serving(offer := Offer(stop_after=150_000, states_length=states_length)) as base:
        assert deliver(base, tmp_path).read_bytes() == CONTENT
    assert [asked for _, _, asked in offer.requests] == ["", "bytes=150000-", "bytes=300000-"]


def test_a_server_without_ranges_begins_again(tmp_path: Path) -> None:
    with serving(offer := Offer(stop_after=150_000)) as base:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(url_module, "RETRIES", 1)
            offer.stop_after = 1000
            offer.ranges = False
            with pytest.raises(SourceError, match="the download broke off"):
                deliver(base, tmp_path)
        offer.stop_after = None
        assert deliver(base, tmp_path).read_bytes() == CONTENT
    assert offer.requests[-1][2] == "bytes=1000-"


def test_a_server_that_always_breaks_off_is_given_up(tmp_path: Path) -> None:
    with (
        serving(offer := Offer(stop_after=0)) as base,
        pytest.raises(SourceError, match=r"no connection|broke off"),
    ):
        deliver(base, tmp_path)
    assert len(offer.requests) <= url_module.RETRIES


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        (
            Offer(content=b"<html>Sign in</html>", content_type="text/html; charset=utf-8"),
            "a web page instead",
        ),
        (Offer(content=b"<html>" + CONTENT[6:]), "not a GGUF file"),
        (Offer(content=b"<html>", states_length=False), "not a GGUF file"),
        (Offer(content=CONTENT[:-1]), "its file has 400,003 bytes, the published one 400,004"),
        (Offer(content=CONTENT + b"x"), "its file has 400,005 bytes"),
        (Offer(content=CONTENT + b"x", states_length=False), "sends more than the 400,004 bytes"),
        (Offer(content=b"", states_length=False), "broke off|no connection"),
        (Offer(status=404), "HTTP 404 Not Found"),
        (Offer(status=503), "HTTP 503"),
    ],
)
def test_what_is_not_the_file_is_refused(tmp_path: Path, offer: Offer, reason: str) -> None:
    with serving(offer) as base, pytest.raises(SourceError, match=reason):
        deliver(base, tmp_path)
    assert all(part.stat().st_size == 0 for part in tmp_path.iterdir()), "nothing of it is continued"


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    with serving(offer := Offer()) as base:
        part = deliver(base, tmp_path)
        part.write_bytes(CONTENT[:300_000])
        offer.content = CONTENT[:200_000]
        with pytest.raises(SourceError, match="shorter than the published one"):
            deliver(base, tmp_path)
    assert not part.exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:{closed}/x", "http://[::1", "http://"])
def test_an_address_without_a_server_is_one_clause(tmp_path: Path, url: str) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses every connection
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=r"no connection|cannot be used"):
            deliver(url.format(closed=taken.getsockname()[1]), tmp_path)


@pytest.mark.parametrize("proxy", ["nonsense://x", "http://127.0.0.1:1"])
def test_a_wrong_proxy_is_one_clause(tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(SourceError, match=r"no connection|proxy cannot be used"):
        deliver("http://models.example/x", tmp_path)


def test_no_room_is_noticed_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": len(CONTENT) - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with serving(offer := Offer()) as base, pytest.raises(OSError, match="No space") as raised:
        deliver(base, tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert offer.requests == []


# The hub.


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let huggingface_hub use a local server."""

    def use(base: str) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", base)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            base + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    return use


def test_the_hub_delivers_and_keeps_no_second_copy(tmp_path: Path, hub: Any) -> None:
    with serving(offer := Offer(redirect_to="/storage/abc")) as base:
        hub(base)
        assert HubSource().deliver(ENTRY, tmp_path, NoMeter()).read_bytes() == CONTENT
    assert ("HEAD", f"/{REPO}/resolve/main/{FILE}", "") in offer.requests
    copies = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    assert len(copies) == 1  # the home is below tmp_path too


def test_another_file_on_the_hub_is_refused_before_the_download(tmp_path: Path, hub: Any) -> None:
    with serving(offer := Offer(content=b"GGUF" + CONTENT)) as base:
        hub(base)
        with pytest.raises(SourceError, match="has another file under this name now"):
            HubSource().deliver(ENTRY, tmp_path, NoMeter())
    assert not [path for method, path, _ in offer.requests if method == "GET" and FILE in path]


def test_a_hub_without_the_file_is_one_clause(tmp_path: Path, hub: Any) -> None:
    with serving(Offer(status=404)) as base:
        hub(base)
        with pytest.raises(SourceError, match=f"it answers HTTP 404 for {REPO}"):
            HubSource().deliver(ENTRY, tmp_path, NoMeter())


def test_offline_mode_asks_nothing(tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(offer := Offer()) as base:
        hub(base)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set"):
            HubSource().deliver(ENTRY, tmp_path, NoMeter())
    assert offer.requests == []


def test_an_entry_without_a_repository_is_one_clause(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no repository"):
        HubSource().deliver(entry(hub_repo=""), tmp_path, NoMeter())
