"""The server's copies of the open documents, as the protocol counts lines and columns.

The protocol ends a line at `\\n`, `\\r\\n` or `\\r`. pygls uses `str.splitlines`, which also ends one at a form feed,
U+2028 and others. An edit below such a character would then damage the copy. (Source: LSP 3.18, "Text Documents".)
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from lsprotocol import types
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument, Workspace

log = logging.getLogger(__name__)

_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_MARK = "\ufeff"
_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentError(ValueError):
    """The text of a document is not known.

    The message holds the reason and the remedy.
    """


class SyncedDocument(TextDocument):
    """One document, edited by the protocol's rules."""

    @property
    def source(self) -> str:
        """The text: the client's, or the file's when the document is not open.

        Raises `DocumentError` for a document that is neither open nor a readable file.
        """
        if self._source is None:
            return _read(self.uri)
        return str(self._source)

    @property
    def lines(self) -> Sequence[str]:
        """The lines with their ends; an empty last line is left out."""
        return tuple(_LINE.findall(self.source))

    def cursor(self, position: types.Position) -> tuple[str, int, int]:
        """Return the text with `\\n` line ends, and the 0-based line and column of a position.

        The column is in characters. A byte order mark is left out: Python does not parse it. A position outside the
        text stays outside, so that it can be reported.
        """
        lines = _LINE_END.split(self.source)
        if position.line == 0 and lines[0].startswith(_MARK):
            position = types.Position(0, max(0, position.character - self._units(_MARK)))
        lines[0] = lines[0].removeprefix(_MARK)
        text = well_formed("\n".join(lines))
        if not 0 <= position.line < len(lines):
            return text, position.line, position.character
        line = lines[position.line]
        past = position.character - self._units(line)
        if past > 0:
            return text, position.line, len(well_formed(line)) + past
        before = line[: self._column(line, position.character)]
        return text, position.line, len(well_formed(before))

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        source = self.source
        start, end = (self._offset(source, at) for at in (change.range.start, change.range.end))
        self._source = source[:start] + change.text + source[max(start, end) :]

    def _offset(self, source: str, position: types.Position) -> int:
        """Return the index of a position in the text.

        A position past the end of its line, or of the text, is that end, as the protocol says.
        """
        start, number = 0, 0
        for number, end in enumerate(_LINE_END.finditer(source), 1):
            if number > position.line:
                return start + self._column(source[start : end.start()], position.character)
            start = end.end()
        if number < position.line:
            return len(source)
        return start + self._column(source[start:], position.character)

    def _units(self, text: str) -> int:
        """Return the length of a text in the client's units."""
        return int(self.position_codec.client_num_units(text))

    def _column(self, line: str, units: int) -> int:
        """Return how many characters of a line the client's units cover."""
        covered = 0
        for column, character in enumerate(line):
            if covered >= units:
                return column
            covered += self._units(character)
        return len(line)


class SyncedWorkspace(Workspace):
    """The workspace of a session, with documents of this module."""

    @classmethod
    def like(cls, other: Workspace) -> SyncedWorkspace:
        """Return an empty workspace with the same root, folders and encoding."""
        folders = list(other.folders.values())
        return cls(other.root_uri, other._sync_kind, folders, other.position_encoding)

    def document(self, uri: str) -> SyncedDocument:
        """Return an open document, or one that reads its file.

        Raises `DocumentError` for text that is not a URI.
        """
        try:
            found = self.get_text_document(uri)
        except ValueError as error:
            raise DocumentError(f"It is not a valid URI: {error}.") from error
        assert isinstance(found, SyncedDocument)
        return found

    def update_text_document(
        self, text_doc: types.VersionedTextDocumentIdentifier, change: types.TextDocumentContentChangeEvent
    ) -> None:
        """Apply an edit; one to a document that is not open is logged and ignored."""
        try:
            super().update_text_document(text_doc, change)
        except KeyError:
            log.warning("An edit of %s is ignored: the editor has not opened it.", text_doc.uri)

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> SyncedDocument:
        return SyncedDocument(
            doc_uri,
            source=source,
            version=version,
            language_id=language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )


def well_formed(text: str) -> str:
    """Return the text without lone surrogates, which cannot be encoded.

    An edit in UTF-16 units may send the two halves of one character apart. They are joined; a lone half becomes U+FFFD.
    """
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _read(uri: str) -> str:
    """Return the text of a file that is not open."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    try:
        # Only a regular file: reading a pipe or a device may never end.
        if path is not None and Path(path).is_file():
            return Path(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DocumentError(
            f"It is not open, and its file cannot be read: {error}. Open it first."
        ) from error
    raise DocumentError("It is not open, and there is no such file. Open it first.")
