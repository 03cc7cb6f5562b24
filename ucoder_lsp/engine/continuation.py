"""The growing text of one candidate, and the rules that end it.

All decoders share it. Pieces become text, stop strings and `stop_when` cut it, and a token that is not text ends it.
"""

from __future__ import annotations

from ucoder_lsp.engine.types import Candidate, Finish, GenerationRequest
from ucoder_lsp.engine.vocab import TextStream, Vocab


class Continuation:
    """The tokens sampled so far for one candidate."""

    __slots__ = ("_ends", "_logprobs", "_request", "_stream", "_vocab", "tokens")

    def __init__(self, request: GenerationRequest, vocab: Vocab) -> None:
        self.tokens: list[int] = []
        self._logprobs: list[float] = []
        self._ends: list[int] = []
        """Length of the text after each token."""
        self._stream = TextStream()
        self._request = request
        self._vocab = vocab

    def copy(self) -> Continuation:
        """Return an independent copy that continues from here."""
        other = Continuation(self._request, self._vocab)
        other.tokens, other._logprobs = self.tokens.copy(), self._logprobs.copy()
        other._ends, other._stream = self._ends.copy(), self._stream.copy()
        return other

    def extend(self, token: int, logprob: float) -> Candidate | None:
        """Append a token; returns the candidate if that ends it."""
        if token in self._vocab.special:
            return self.ended(Finish.EOS)
        searched = len(self._stream.text)
        self.tokens.append(token)
        self._logprobs.append(logprob)
        self._stream.push(self._vocab.piece(token))
        self._ends.append(len(self._stream.text))
        cut = self._stop_index(self._stream.text, searched)
        if cut is not None:
            return self.ended(Finish.STOP, cut)
        return self.ended(Finish.LENGTH) if len(self.tokens) == self._request.max_tokens else None

    def ended(self, reason: Finish, cut: int | None = None) -> Candidate:
        """Return the candidate that ends here, cut to `cut` characters.

        It keeps the tokens that contribute to that text.
        """
        text = self._stream.text if cut is None else self._stream.text[:cut]
        n = len(self.tokens)
        while n and (self._ends[n - 2] if n > 1 else 0) >= len(text) and cut is not None:
            n -= 1
        return Candidate(text, tuple(self.tokens[:n]), tuple(self._logprobs[:n]), reason)

    def _stop_index(self, text: str, searched: int) -> int | None:
        """Return where the text must end, or None.

        Text up to `searched` contains no stop string.
        """
        found = [text.find(stop, max(0, searched - len(stop) + 1)) for stop in self._request.stop]
        cuts = [i for i in found if i >= 0]
        if self._request.stop_when is not None:
            index = self._request.stop_when(text)
            if index is not None:
                cuts.append(max(0, min(index, len(text))))
        return min(cuts) if cuts else None
