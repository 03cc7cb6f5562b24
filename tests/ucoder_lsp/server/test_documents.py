"""The copies of open documents: edits, positions, and text that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from ucoder_lsp.server.documents import DocumentError, SyncedDocument, SyncedWorkspace, well_formed

SEPARATORS = ["\n", "\r", "\r\n", "\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
TEXTS = st.lists(st.sampled_from([*SEPARATORS, "a", "ß", "€", "😀", " "]), max_size=12).map("".join)
POSITIONS = st.builds(types.Position, st.integers(0, 9), st.integers(0, 14))
ENCODINGS = st.sampled_from(list(types.PositionEncodingKind))
BYTES = {
    types.PositionEncodingKind.Utf8: ("utf-8", 1),
    types.PositionEncodingKind.Utf16: ("utf-16-le", 2),
    types.PositionEncodingKind.Utf32: ("utf-32-le", 4),
}
URI = "untitled:a"


def workspace(encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16) -> SyncedWorkspace:
    return SyncedWorkspace(None, position_encoding=encoding)


def opened(
    text: str, encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16
) -> tuple[SyncedWorkspace, SyncedDocument]:
    """Return a workspace with one open document, and that document."""
    found = workspace(encoding)
    found.put_text_document(types.TextDocumentItem(URI, "python", 1, text))
    return found, found.document(URI)


def edit(found: SyncedWorkspace, start: types.Position, end: types.Position, text: str) -> None:
    found.update_text_document(
        types.VersionedTextDocumentIdentifier(version=2, uri=URI),
        types.TextDocumentContentChangePartial(types.Range(start, end), text),
    )


def reference_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each line starts, and where its text ends, one character at a time."""
    start = at = 0
    while at < len(text):
        if text[at] in "\r\n":
            yield start, at
            at += text[at] == "\r" and text[at + 1 : at + 2] == "\n"
            start = at + 1
        at += 1
    yield start, len(text)


def reference_offset(text: str, position: types.Position, encoding: types.PositionEncodingKind) -> int:
    """Return the index of a position: the first one that covers its units."""
    codec, size = BYTES[encoding]
    lines = list(reference_lines(text))
    if position.line >= len(lines):
        return len(text)
    start, end = lines[position.line]
    reached = (
        at for at in range(start, end) if len(text[start:at].encode(codec)) >= size * position.character
    )
    return next(reached, end)


@given(TEXTS, st.lists(st.tuples(POSITIONS, POSITIONS, TEXTS), max_size=5), ENCODINGS)
def test_the_copy_equals_the_client_s_text_after_any_edits(
    text: str,
    edits: list[tuple[types.Position, types.Position, str]],
    encoding: types.PositionEncodingKind,
) -> None:
    found, document = opened(text, encoding)
    for one, other, new in edits:
        start, end = sorted((one, other), key=lambda at: (at.line, at.character))
        offsets = [reference_offset(text, at, encoding) for at in (start, end)]
        edit(found, start, end, new)
        text = text[: offsets[0]] + new + text[max(offsets) :]
        assert document.source == text
        assert "".join(document.lines) == text


@given(TEXTS, POSITIONS, ENCODINGS)
def test_a_cursor_is_where_the_protocol_says(
    text: str, position: types.Position, encoding: types.PositionEncodingKind
) -> None:
    _, document = opened(text, encoding)
    normal, line, column = document.cursor(position)
    lines = list(reference_lines(text))
    assert normal.split("\n") == [text[start:end] for start, end in lines]
    assert line == position.line
    if line < len(lines):
        start, end = lines[line]
        units = len(text[start:end].encode(BYTES[encoding][0])) // BYTES[encoding][1]
        if position.character <= units:
            assert start + column == reference_offset(text, position, encoding)
        else:
            assert column == end - start + position.character - units


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_space_typed_below_any_separator_arrives(separator: str) -> None:
    text = f"S = 'a{separator}b'\ndef f():\n    return"
    found, document = opened(text)
    line = len(list(reference_lines(text))) - 1
    edit(found, types.Position(line, 10), types.Position(line, 10), " ")
    assert document.source == text + " "


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    _, document = opened("\ufeffx = \ny")
    assert document.cursor(types.Position(0, 5)) == ("x = \ny", 0, 4)
    assert document.cursor(types.Position(0, 0)) == ("x = \ny", 0, 0)
    assert document.cursor(types.Position(1, 1)) == ("x = \ny", 1, 1)


def test_the_halves_of_a_character_that_arrive_apart_are_joined() -> None:
    found, document = opened("x = '\ud83d'")
    edit(found, types.Position(0, 6), types.Position(0, 6), "\ude00")
    assert document.cursor(types.Position(0, 8)) == ("x = '😀'", 0, 7)


@given(st.text(st.sampled_from(["a", "\ud83d", "\ude00", "😀"])))
def test_a_completed_text_can_be_encoded(text: str) -> None:
    well_formed(text).encode()


def test_a_document_that_is_not_open_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "on disk ü#.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    document = workspace().document((tmp_path / "on disk ü#.py").as_uri())
    assert document.cursor(types.Position(1, 0)) == ("x = 1\n", 1, 0)


@pytest.mark.parametrize("name", ["absent.py", "folder", "pipe", "latin.py", "nul\x00.py"])
def test_a_document_without_text_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.py").write_bytes(b"x = '\xfc'")
    document = workspace().document(f"file://{tmp_path}/{name}")
    with pytest.raises(DocumentError, match="not open"):
        document.cursor(types.Position(0, 0))


@pytest.mark.parametrize(
    "uri", ["", "untitled:pyproject.toml", "pyproject.toml", "http://[", "file://[", "%00"]
)
def test_a_uri_that_is_not_open_and_not_a_file_is_one_sentence(uri: str) -> None:
    with pytest.raises(DocumentError):
        workspace().document(uri).cursor(types.Position(0, 0))


def test_an_edit_of_a_document_that_is_not_open_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    edit(workspace(), types.Position(0, 0), types.Position(0, 0), "x")
    assert "An edit of untitled:a is ignored" in caplog.text
