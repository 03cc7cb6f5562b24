"""The vocabulary of a loaded model: text to tokens and back.

A token that is not text (end of turn, fill-in-the-middle, chat markers) ends a candidate and never becomes part of it.
Tools that recognise such tokens by a list of names let `<|fim_middle|>` into users' files. Here the vocabulary's own
marks decide, plus the fill-in-the-middle ids, which some conversions leave unmarked.
"""

from __future__ import annotations

import codecs
import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import llama_cpp as C

from ucoder_lsp.engine.errors import EngineClosed

_NOT_TEXT = C.LLAMA_TOKEN_ATTR_CONTROL | C.LLAMA_TOKEN_ATTR_UNKNOWN | C.LLAMA_TOKEN_ATTR_UNUSED


@dataclass(frozen=True, slots=True)
class FimTokens:
    """The fill-in-the-middle token ids; None for one that the vocabulary lacks."""

    prefix: int
    suffix: int
    middle: int
    pad: int | None
    repo: int | None
    file: int | None


class Vocab:
    """The tokenizer and token marks of one model.

    Thread-safe, also while another thread closes the model.
    """

    def __init__(self, model: int) -> None:
        self._lock = threading.Lock()
        self._vocab: int | None = C.llama_model_get_vocab(model)
        self.n_tokens = int(C.llama_vocab_n_tokens(self._vocab))
        self.bos = _known(C.llama_vocab_bos(self._vocab))
        self.eos = _known(C.llama_vocab_eos(self._vocab))
        self.fim = self._fim()
        self.special = frozenset(t for t in range(self.n_tokens) if self._is_not_text(t)) | self._fim_ids()
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, special: bool = False) -> tuple[int, ...]:
        """Return the token ids of a text.

        Args:
            special: read `<|im_start|>` and the like as tokens; never set it for text of a user or a file.
        """
        data = text.encode("utf-8", "surrogatepass")
        size = len(data) + 8
        buffer = (C.llama_token * size)()
        with self._open() as vocab:
            n = C.llama_tokenize(vocab, data, len(data), buffer, size, False, special)
            if n < 0:
                buffer = (C.llama_token * -n)()
                n = C.llama_tokenize(vocab, data, len(data), buffer, -n, False, special)
        return tuple(buffer[:n])

    def detokenize(self, tokens: Sequence[int], special: bool = False) -> str:
        """Return the text of token ids.

        Special tokens appear only on request. Broken UTF-8 becomes U+FFFD.
        """
        return b"".join(self._raw_piece(t, special) for t in tokens).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text.

        They are empty for a special token, and may be only part of a character.
        """
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._raw_piece(token, special=False)
        return known

    def close(self) -> None:
        """Refuse further calls with `EngineClosed`, so that the model can be freed.

        Waits for a call that is running.
        """
        with self._lock:
            self._vocab = None

    @contextmanager
    def _open(self) -> Iterator[int]:
        with self._lock:
            if self._vocab is None:
                raise EngineClosed
            yield self._vocab

    def _raw_piece(self, token: int, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self._open() as vocab:
                n = C.llama_token_to_piece(vocab, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def _is_not_text(self, token: int) -> bool:
        return bool(C.llama_vocab_get_attr(self._vocab, token) & _NOT_TEXT) or C.llama_vocab_is_eog(
            self._vocab, token
        )

    def _fim(self) -> FimTokens | None:
        prefix, suffix, middle = (
            _known(get(self._vocab))
            for get in (C.llama_vocab_fim_pre, C.llama_vocab_fim_suf, C.llama_vocab_fim_mid)
        )
        if prefix is None or suffix is None or middle is None:
            return None
        pad, repo, file = (
            _known(get(self._vocab))
            for get in (C.llama_vocab_fim_pad, C.llama_vocab_fim_rep, C.llama_vocab_fim_sep)
        )
        return FimTokens(prefix, suffix, middle, pad, repo, file)

    def _fim_ids(self) -> frozenset[int]:
        fim = self.fim
        if fim is None:
            return frozenset()
        ids = (fim.prefix, fim.suffix, fim.middle, fim.pad, fim.repo, fim.file)
        return frozenset(i for i in ids if i is not None)


class TextStream:
    """The text of token pieces: a character appears with its last byte."""

    __slots__ = ("_decoder", "text")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""

    def push(self, piece: bytes) -> None:
        self.text += self._decoder.decode(piece)

    def copy(self) -> TextStream:
        """Return an independent stream that continues from here."""
        other = TextStream()
        other._decoder.setstate(self._decoder.getstate())
        other.text = self.text
        return other


def _known(token: int) -> int | None:
    return None if token == C.LLAMA_TOKEN_NULL else int(token)
