"""Unusual clients: odd positions, names, line ends and options get an answer, never an internal error."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from tests.support.tiny_gguf import write_model
from ucoder_lsp.server.client import SERVER, Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")
FUNCTION = 'def is_even(n: int) -> bool:\n    """Return True if n is even."""\n    return '
END = (2, 11)
NUMBERS = itertools.count()


def command(folder: Path) -> tuple[str, ...]:
    """Return the command of a server with a tiny model that runs nothing."""
    model = write_model(folder / "tiny.gguf")
    return (*SERVER, "--model", str(model), "--cache-dir", str(folder / "cache"), "--max-tokens", "2",
            "--data-dir", str(folder / "data"), "--execution", "false", "--context-tokens", "128")  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def editor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    folder = tmp_path_factory.mktemp("protocol")
    async with Editor(folder, command=command(folder)) as editor:
        await editor.ready()
        yield editor


def starting(folder: Path, change: Callable[[types.InitializeParams], None]) -> Editor:
    """Return an editor whose first request is changed before it is sent."""
    editor = Editor(folder, command=command(folder))
    send = editor.client.initialize_async

    async def initialize(params: types.InitializeParams) -> types.InitializeResult:
        change(params)
        return await send(params)

    editor.client.initialize_async = initialize  # type: ignore[method-assign]
    return editor


def open_uri(editor: Editor, uri: str, text: str) -> None:
    item = types.TextDocumentItem(uri=uri, language_id="python", version=1, text=text)
    editor.client.text_document_did_open(types.DidOpenTextDocumentParams(item))


async def send_raw(editor: Editor, uri: str, position: dict[str, int]) -> None:
    """Send a request with a position that the client's own types would not accept."""
    protocol = editor.client.protocol
    answer: Future[Any] = Future()
    number = f"raw {next(NUMBERS)}"
    protocol._request_futures[number] = answer
    params = {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 1}}
    method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    protocol._send_data({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    await asyncio.wrap_future(answer)


async def explained(editor: Editor, uri: str, line: int, character: int) -> dict[str, Any]:
    """Return the explanation of a request that the server must have computed."""
    before = len(editor.messages)
    await editor.inline_completion(uri, line, character)
    assert editor.messages[before:] == []
    explanation = await editor.explain_request()
    assert explanation is not None
    return explanation


@pytest.mark.parametrize(
    "uri",
    [
        "untitled:Untitled-1",
        "vscode-notebook-cell:/w/n.ipynb#W0s",
        "file:///w/my%20file%20(1)%20%C3%BC%23.py",
        "file:///w/a b#c.py",
        "memfs:/a.py",
    ],
)
async def test_any_name_of_an_open_document_is_completed(editor: Editor, uri: str) -> None:
    open_uri(editor, uri, FUNCTION)
    assert (await explained(editor, uri, *END))["function"] == "is_even"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["x = 1", "\f", "S = 'a\u2028b'", "# a\x85b\x1c", "N = '😀'", "\ufeff"])
async def test_any_line_end_and_any_first_line_is_completed(editor: Editor, end: str, first: str) -> None:
    uri = f"untitled:{first + end!a}"
    open_uri(editor, uri, (first + "\n" + FUNCTION.removesuffix(" ")).replace("\n", end))
    here = types.Position(3, 10)
    change = types.TextDocumentContentChangePartial(types.Range(here, here), " ")
    identifier = types.VersionedTextDocumentIdentifier(version=2, uri=uri)
    editor.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))
    explanation = await explained(editor, uri, 3, 11)
    assert (explanation["function"], explanation["shape"]) == ("is_even", "line")


async def test_a_document_that_was_never_opened_is_one_sentence(editor: Editor) -> None:
    for uri in ("file:///w/never.py", "untitled:never", "file://[", ""):
        before = len(editor.messages)
        assert await editor.inline_completion(uri, 0, 0) == ""
        (message,) = editor.messages[before:]
        assert message.startswith(f"No completion in {uri}: It is not ")


async def test_positions_outside_the_document_never_end_in_an_internal_error(editor: Editor) -> None:
    uri = "untitled:positions"
    open_uri(editor, uri, "x = '😀'\r\ny\f\n")
    draw = random.Random(1)
    numbers = [0, 1, 2, 3, 7, 8, -1, -(2**31), 2**31 - 1, 2**31, 2**64]
    codes: set[int] = set()
    async with asyncio.timeout(30):
        for _ in range(15):  # the client does not read what the server logs, and a full pipe would stop it
            position = {"line": draw.choice(numbers), "character": draw.choice(numbers)}
            try:
                await send_raw(editor, uri, position)
            except JsonRpcException as error:
                codes.add(error.code)
    assert codes == {JsonRpcInvalidParams.CODE}
    assert (await editor.status())["state"] == "ready"


@pytest.mark.parametrize("options", [[], None, "", {}])
async def test_empty_options_are_no_options(tmp_path: Path, options: Any) -> None:
    async with starting(
        tmp_path, lambda params: setattr(params, "initialization_options", options)
    ) as editor:
        await editor.ready()
        await editor.status()
        assert not [message for message in editor.messages if "initializationOptions" in message]


async def test_options_that_are_not_an_object_are_reported(tmp_path: Path) -> None:
    async with starting(tmp_path, lambda params: setattr(params, "initialization_options", ["x"])) as editor:
        await editor.ready()
        assert "The editor's initializationOptions are ignored: they must be an object." in editor.messages


@pytest.mark.parametrize("encoding", list(types.PositionEncodingKind))
async def test_columns_are_in_the_client_s_units(
    tmp_path: Path, encoding: types.PositionEncodingKind
) -> None:
    line = "    name = 'hé😀'; return "
    units = {"utf-8": len(line.encode()), "utf-16": len(line) + 1, "utf-32": len(line)}[encoding.value]

    def offer(params: types.InitializeParams) -> None:
        params.capabilities.general = types.GeneralClientCapabilities(position_encodings=[encoding])

    async with starting(tmp_path, offer) as editor:
        await editor.ready()
        uri = editor.open("units.py", "def f() -> int:\n" + line)
        explanation = await explained(editor, uri, 1, units)
        assert explanation["character"] == len(line)
