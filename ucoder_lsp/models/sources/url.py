"""Resumable downloads over HTTP.

`hf_hub_download` of huggingface_hub 2.4 starts again from zero after a killed process, because it writes to a file of
a new name each time. So the bytes are fetched here, for a mirror and for the hub alike: with a Range request behind
what is there. Proxies and certificates come from the usual environment variables.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx2

from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources.space import check_room
from ucoder_lsp.models.sources.types import Meter

TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
"""Seconds without an answer after which a connection is given up."""
RETRIES = 5
"""Interruptions in a row, each without a new byte, after which a download is given up."""
RETRY_WAIT_S = 1.0
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A web address: of the file itself, or of a folder that holds it under its published name."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.url

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        """Download the file; see `Source`."""
        url = self.url if self.url.lower().endswith(".gguf") else f"{self.url.rstrip('/')}/{entry.file}"
        part = folder / f"url-{hashlib.sha256(url.encode()).hexdigest()[:12]}.part"
        download(url, part, entry, meter, self.headers)
        return part


def download(url: str, part: Path, entry: CatalogueEntry, meter: Meter, headers: Mapping[str, str]) -> None:
    """Bring `part` to the size of the published file; continue what is there.

    Raises:
        SourceError: the server cannot be reached, or answers with something else; what arrived is kept.
        OSError: the disk is full or cannot be written.
    """
    have = part.stat().st_size if part.exists() else 0
    check_room(part.parent, entry.bytes - have)
    meter.start(f"Downloading {entry.name}", entry.bytes)
    failures = 0
    try:
        with httpx2.Client(follow_redirects=True, timeout=TIMEOUT) as client:
            while have < entry.bytes:
                try:
                    _receive(client, url, part, entry, meter, headers)
                except httpx2.TransportError as error:
                    reason = str(error) or type(error).__name__
                    if not part.exists() or part.stat().st_size == 0:
                        raise SourceError(f"no connection ({reason})") from error
                else:
                    reason = "the connection was closed early"
                now = part.stat().st_size
                failures = 0 if now > have else failures + 1
                have = now
                if failures >= RETRIES:
                    raise SourceError(
                        f"the download broke off ({reason}); run the command again to go on with it"
                    )
                if have < entry.bytes:
                    time.sleep(RETRY_WAIT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:  # ValueError: a wrong proxy address
        raise SourceError(f"the address or the proxy cannot be used ({error})") from error


def _receive(
    client: httpx2.Client,
    url: str,
    part: Path,
    entry: CatalogueEntry,
    meter: Meter,
    headers: Mapping[str, str],
) -> None:
    """Append one answer to the part; it may end early.

    Raises:
        httpx2.TransportError: the connection failed; what arrived is in the part.
        SourceError: the answer is not the file.
    """
    have = part.stat().st_size if part.exists() else 0
    asked = dict(headers) | {"Accept-Encoding": "identity"}  # a size and a range of the file itself
    if have:
        asked["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=asked) as response:
        if have and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise SourceError("its file is shorter than the published one")
        if response.status_code >= 400:
            raise SourceError(f"it answers HTTP {response.status_code} {response.reason_phrase}".rstrip())
        offset = _check_answer(response, entry, have)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.seek(offset)
            file.truncate()
            for chunk in response.iter_bytes():
                if not file.tell() and not chunk.startswith(b"GGUF"[: len(chunk)]):
                    raise SourceError("it answers with something that is not a GGUF file")
                if file.tell() + len(chunk) > entry.bytes:
                    file.truncate(0)
                    raise SourceError(f"it sends more than the {entry.bytes:,} bytes of the published file")
                file.write(chunk)
                meter.at(file.tell())


def _check_answer(response: httpx2.Response, entry: CatalogueEntry, have: int) -> int:
    """Return the offset at which the answer begins, 0 or `have`.

    Raises:
        SourceError: it is a web page, or a file of another size.
    """
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise SourceError(
            "it answers with a web page instead of the file, as a proxy or a sign-in page does; open the address "
            "in a browser to see it"
        )
    offset, total = 0, response.headers.get("Content-Length")
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise SourceError("it answers with another part of the file than was asked for")
        offset, total = have, match[2]
    if total is not None and total.isdigit() and int(total) != entry.bytes:
        raise SourceError(f"its file has {int(total):,} bytes, the published one {entry.bytes:,}")
    return offset
