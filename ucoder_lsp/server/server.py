"""The language server: a translation between protocol and service.

It does nothing else. Standard requests: `textDocument/inlineCompletion` (LSP 3.18), and `textDocument/completion` for
editors without it. The custom requests are in `protocol`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol

from ucoder_lsp.completion.context import CursorError
from ucoder_lsp.completion.explain import Explanation
from ucoder_lsp.config import Settings
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.server.documents import DocumentError, SyncedWorkspace
from ucoder_lsp.server.protocol import EXPLAIN_LAST, EXPLAIN_REQUEST, STATUS
from ucoder_lsp.server.service import ServerStatus, Service

log = logging.getLogger(__name__)


class AnsweringProtocol(LanguageServerProtocol):
    """pygls's protocol, which also answers requests that it cannot read.

    A client may wait for every answer. pygls only shows a message for a request with, say, a negative line.
    """

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Return a message as its type; a request that has no such form is answered with an error."""
        try:
            return super().structure_message(data)
        except JsonRpcException:
            if "method" in data and "id" in data:
                invalid = JsonRpcInvalidParams(f"The parameters of {data['method']} are not valid.")
                self._send_response(data["id"], error=invalid.to_response_error())
            raise


class UCoderServer(LanguageServer):
    """A pygls server with one service.

    Settings come from the command line and the client's options.
    """

    def __init__(self, settings: Settings, problems: list[str], version: str) -> None:
        super().__init__("ucoder", version, protocol_cls=AnsweringProtocol)
        self.settings = settings
        self.problems = problems
        self.service: Service | None = None
        self.preparation: asyncio.Task[None] | None = None

    def show(self, message: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show a message to the user, and log it."""
        log.warning("%s", message)
        self.window_show_message(types.ShowMessageParams(kind, message))

    def on_status(self, status: ServerStatus) -> None:
        """Send a change of status.

        An error is also shown, because completions stop until it is repaired.
        """
        self.protocol.notify(STATUS, status.to_json())
        if status.state == "error":
            self.show(status.message, types.MessageType.Error)
        elif status.state == "ready" and status.sandbox_tier is None and self.settings.execution:
            self.show(status.message)


def _initialize(ls: UCoderServer, params: types.InitializeParams) -> None:
    ls.protocol._workspace = SyncedWorkspace.like(ls.workspace)  # pygls has no hook for it
    options = params.initialization_options
    if isinstance(options, dict):
        ls.settings, problems = ls.settings.overlay(options, "the editor's settings")
        ls.problems += problems
    elif options:  # an empty Lua table is sent as [], and some clients send "" or null
        ls.problems.append("The editor's initializationOptions are ignored: they must be an object.")


async def _initialized(ls: UCoderServer, _params: types.InitializedParams) -> None:
    for problem in ls.problems:
        ls.show(problem)
    root = ls.workspace.root_path
    ls.service = Service(ls.settings, ls.on_status, Path(root) if root else None)
    ls.preparation = asyncio.create_task(ls.service.prepare())


async def _shutdown(ls: UCoderServer, _params: None) -> None:
    if ls.preparation is not None:
        ls.preparation.cancel()  # it may take minutes; an editor waits two seconds
        await asyncio.wait([ls.preparation])
    if ls.service is not None:
        await ls.service.close()
        ls.service = None


def _exit(ls: UCoderServer, _params: None) -> None:
    """End the process at once if preparation was cancelled.

    Its thread cannot be stopped, and Python would wait for it.
    """
    if ls.preparation is not None and ls.preparation.cancelled():
        os._exit(0)


def _configuration_changed(ls: UCoderServer, params: types.DidChangeConfigurationParams) -> None:
    given = params.settings.get("ucoder") if isinstance(params.settings, dict) else None
    if not isinstance(given, dict) or ls.service is None:
        return
    ls.settings, problems = ls.settings.overlay(given, "the editor's settings")
    for name in ls.service.use_settings(ls.settings):
        problems.append(f"Setting '{name}' changed: restart the server for it to take effect.")
    for problem in problems:
        ls.show(problem)


async def _inline_completion(
    ls: UCoderServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    explanation = await _complete(ls, params.text_document.uri, params.position)
    if explanation is None or not explanation.text:
        return types.InlineCompletionList(items=[])
    here = types.Range(start=params.position, end=params.position)
    return types.InlineCompletionList(
        items=[types.InlineCompletionItem(insert_text=explanation.text, range=here)]
    )


async def _completion(ls: UCoderServer, params: types.CompletionParams) -> types.CompletionList:
    nothing = types.CompletionList(is_incomplete=False, items=[])
    capabilities = ls.client_capabilities.text_document
    if capabilities is not None and capabilities.inline_completion is not None:
        return nothing  # this client shows ghost text: do not offer the same text twice
    word = _typed_word(ls, params)  # before waiting: the document may change meanwhile
    explanation = await _complete(ls, params.text_document.uri, params.position)
    if explanation is None or not explanation.text:
        return nothing
    return types.CompletionList(is_incomplete=True, items=[_as_item(params, word, explanation)])


def _status(ls: UCoderServer, _params: Any) -> dict[str, Any]:
    current = ls.service.status if ls.service is not None else ServerStatus("preparing", "Starting.")
    return current.to_json()


def _explain_last(ls: UCoderServer, _params: Any) -> dict[str, Any] | None:
    last = ls.service.last if ls.service is not None else None
    return last.to_json() if last is not None else None


def _explain_request(ls: UCoderServer, _params: Any) -> dict[str, Any] | None:
    latest = ls.service.latest if ls.service is not None else None
    return latest.to_json() if latest is not None else None


async def _complete(ls: UCoderServer, uri: str, position: types.Position) -> Explanation | None:
    """Return the completion at a client position.

    None, with a logged message, when there cannot be one.
    """
    if ls.service is None:
        return None
    try:
        # The text has \n line ends: the editor gives inserted text the line ends of its document.
        text, line, column = _workspace(ls).document(uri).cursor(position)
        return await ls.service.complete(text, line, column)
    except (CursorError, DocumentError, EngineError) as error:
        message = f"No completion in {uri}: {error}"
        ls.window_log_message(types.LogMessageParams(types.MessageType.Warning, message))
        return None


def _workspace(ls: UCoderServer) -> SyncedWorkspace:
    workspace = ls.workspace
    assert isinstance(workspace, SyncedWorkspace)
    return workspace


def _typed_word(ls: UCoderServer, params: types.CompletionParams) -> str:
    """Return the start of a word that stands left of the cursor."""
    try:
        text, line, column = _workspace(ls).document(params.text_document.uri).cursor(params.position)
    except DocumentError:
        return ""  # `_complete` reports it
    lines = text.split("\n")
    before = lines[line][:column] if 0 <= line < len(lines) else ""
    return before[len(before.rstrip("_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")) :]


def _as_item(params: types.CompletionParams, word: str, explanation: Explanation) -> types.CompletionItem:
    """Return an item for the plain completion list.

    Label and filter start with the word being typed, which is ASCII.
    """
    start = types.Position(params.position.line, params.position.character - len(word))
    return types.CompletionItem(
        label=(word + explanation.text.strip("\n")).split("\n", 1)[0].strip(),
        kind=types.CompletionItemKind.Snippet,
        detail=f"UCoder, by {explanation.decided_by}",
        documentation=explanation.reason,
        filter_text=word + explanation.text,
        sort_text="!",  # sorts before every identifier
        preselect=explanation.decided_by == "consensus",
        text_edit=types.TextEdit(types.Range(start, params.position), word + explanation.text),
    )


_FEATURES: dict[str, Callable[..., Any]] = {
    types.INITIALIZE: _initialize,
    types.INITIALIZED: _initialized,
    types.SHUTDOWN: _shutdown,
    types.EXIT: _exit,
    types.WORKSPACE_DID_CHANGE_CONFIGURATION: _configuration_changed,
    types.TEXT_DOCUMENT_INLINE_COMPLETION: _inline_completion,
    types.TEXT_DOCUMENT_COMPLETION: _completion,
    STATUS: _status,
    EXPLAIN_LAST: _explain_last,
    EXPLAIN_REQUEST: _explain_request,
}


def create(settings: Settings, problems: list[str], version: str) -> UCoderServer:
    """Create a server with all its features; `start_io` runs it."""
    server = UCoderServer(settings, problems, version)
    for method, handler in _FEATURES.items():
        # pygls announces inline completion only when it has options.
        inline = method == types.TEXT_DOCUMENT_INLINE_COMPLETION
        server.feature(method, types.InlineCompletionOptions() if inline else None)(handler)
    return server
