"""A headless editor that drives the real server over stdio.

The demo, the tests and the benchmarks use it. It is also the shortest example of a client in another program.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from ucoder_lsp.server.protocol import EXPLAIN_LAST, EXPLAIN_REQUEST, STATUS

# -P: a file of the workspace, such as numbers.py, must not be imported instead of a module of the server.
SERVER = (sys.executable, "-P", "-m", "ucoder_lsp", "serve")


class ServerFailed(RuntimeError):
    """The server did not become ready; the message is the server's."""


class Editor:
    """One running server and its open documents.

    Use as an async context manager.
    """

    def __init__(
        self,
        workspace: Path,
        *,
        command: Sequence[str] = SERVER,
        options: dict[str, Any] | None = None,
        inline: bool = True,
        on_status: Callable[[dict[str, Any]], None] = lambda status: None,
        cwd: Path | None = None,
    ) -> None:
        self.workspace = workspace
        self.messages: list[str] = []
        """Messages that the server showed to the user, in order."""
        self.capabilities: types.ServerCapabilities | None = None
        """Capabilities that the server announced."""
        self._cwd = cwd
        self._command = command
        self._options = options or {}
        self._inline = inline
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._versions: dict[str, int] = {}
        self.client = LanguageClient("ucoder-editor", "1")

        self._on_status = on_status
        handlers: dict[str, Callable[..., None]] = {
            STATUS: self._status_changed,
            types.WINDOW_SHOW_MESSAGE: self._message,
            types.WINDOW_LOG_MESSAGE: self._message,
        }
        for method, handler in handlers.items():
            # pygls sets attributes on the handlers that it registers, and a bound method does not accept them.
            self.client.feature(method)(partial(handler))

    async def __aenter__(self) -> Self:
        self._ready = asyncio.get_running_loop().create_future()
        await self.client.start_io(*self._command, cwd=self._cwd)
        text_document = types.TextDocumentClientCapabilities(
            inline_completion=types.InlineCompletionClientCapabilities() if self._inline else None
        )
        answer = await self.client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(text_document=text_document),
                process_id=None,
                root_uri=self.workspace.resolve().as_uri(),
                initialization_options=self._options,
            )
        )
        self.capabilities = answer.capabilities
        self.client.initialized(types.InitializedParams())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await self.client.stop()

    async def ready(self) -> dict[str, Any]:
        """Wait until the server is ready and return its status.

        Raises `ServerFailed` with the server's message.
        """
        assert self._ready is not None, "use as an async context manager"
        status = await self._ready
        if status["state"] != "ready":
            raise ServerFailed(status["message"])
        return status

    async def status(self) -> dict[str, Any]:
        """Return the server's current status."""
        return _as_dict(await self.client.protocol.send_request_async(STATUS, {}))

    def open(self, name: str, text: str) -> str:
        """Open the document `name` of the workspace, or replace its text.

        Returns its URI.
        """
        uri = (self.workspace.resolve() / name).as_uri()
        version = self._versions[uri] = self._versions.get(uri, 0) + 1
        if version == 1:
            item = types.TextDocumentItem(uri=uri, language_id="python", version=version, text=text)
            self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        else:
            self.client.text_document_did_change(
                types.DidChangeTextDocumentParams(
                    types.VersionedTextDocumentIdentifier(version=version, uri=uri),
                    [types.TextDocumentContentChangeWholeDocument(text=text)],
                )
            )
        return uri

    async def inline_completion(self, uri: str, line: int, character: int) -> str:
        """Return the ghost text at a position; empty where nothing is offered."""
        result = await self.client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                text_document=types.TextDocumentIdentifier(uri),
                position=types.Position(line, character),
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            )
        )
        items = result.items if isinstance(result, types.InlineCompletionList) else result or []
        return str(items[0].insert_text) if items else ""

    async def explain_last(self) -> dict[str, Any] | None:
        """Return the explanation of the last completion that was offered."""
        return await self._explain(EXPLAIN_LAST)

    async def explain_request(self) -> dict[str, Any] | None:
        """Return the explanation of the last request, also when nothing was offered."""
        return await self._explain(EXPLAIN_REQUEST)

    async def _explain(self, method: str) -> dict[str, Any] | None:
        result = await self.client.protocol.send_request_async(method, {})
        return None if result is None else _as_dict(result)

    def _status_changed(self, params: Any) -> None:
        current = _as_dict(params)
        self._on_status(current)
        if current["state"] != "preparing" and self._ready is not None and not self._ready.done():
            self._ready.set_result(current)

    def _message(self, params: types.ShowMessageParams | types.LogMessageParams) -> None:
        self.messages.append(params.message)


def _as_dict(value: Any) -> dict[str, Any]:
    """Convert a result of a custom method to plain data.

    pygls decodes it as named tuples.
    """
    plain = _plain(value)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def position_after(text: str, anchor: str) -> tuple[int, int]:
    """Return the 0-based line and character behind `anchor`.

    Raises `ValueError` unless it occurs exactly once.
    """
    if text.count(anchor) != 1:
        raise ValueError(f"the anchor {anchor!r} occurs {text.count(anchor)} times")
    before = text[: text.index(anchor) + len(anchor)]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1)
