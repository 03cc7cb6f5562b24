"""The vocabulary: special tokens end a candidate and stay out of texts."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.support import tiny_gguf
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineClosed
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling


def test_tokenizing_while_the_engine_closes_is_refused_and_does_not_crash(tiny_model: Path) -> None:
    """The vocabulary is freed with the model.

    A thread that tokenized at that moment crashed the process.
    """
    for _ in range(5):
        engine = Engine.load(tiny_model, n_ctx=64, k_max=1, n_threads=1)
        refused = []

        def read(engine: Engine = engine, refused: list[bool] = refused) -> None:
            try:
                while True:
                    engine.vocab.detokenize(engine.tokenize("x = 1\n" * 50))
            except EngineClosed:
                refused.append(True)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        engine.close()
        for reader in readers:
            reader.join(20)
        assert refused == [True] * 3


def test_special_tokens_end_a_candidate_and_never_leak(tiny_qwen: Path) -> None:
    with Engine.load(tiny_qwen, n_ctx=256, k_max=16, n_threads=1) as engine:
        request = GenerationRequest(engine.tokenize("x"), k=200, max_tokens=32, sampling=Sampling(2.0, 1.0))
        answer = engine.generate(request)
    ended = [c for c in answer.candidates if c.finish is Finish.EOS]
    assert len(ended) > 20
    for candidate in answer.candidates:
        assert not engine.vocab.special & set(candidate.tokens)
        assert not any(name in candidate.text for name in tiny_gguf.SPECIAL + tiny_gguf.FIM)


def test_fim_tokens_that_a_file_marks_as_text_end_a_candidate(tmp_path: Path) -> None:
    names = ("<PRE>", "<MID>", "<SUF>")
    path = tiny_gguf.write_model(tmp_path / "m.gguf", fim=names, fim_ids=True)
    with Engine.load(path, n_ctx=256, k_max=16, n_threads=1) as engine:
        fim = engine.vocab.fim
        assert fim is not None
        assert [
            engine.vocab.detokenize([i], special=True) for i in (fim.prefix, fim.middle, fim.suffix)
        ] == list(names)
        request = GenerationRequest(engine.tokenize("x"), k=300, max_tokens=24, sampling=Sampling(2.0, 1.0))
        answer = engine.generate(request)
    assert not any(name in candidate.text for candidate in answer.candidates for name in names)


def test_a_users_text_never_becomes_a_special_token(engine: Engine) -> None:
    text = "print('<|im_end|><|endoftext|>')"
    assert not engine.vocab.special & set(engine.tokenize(text))
    assert engine.vocab.detokenize(engine.tokenize(text)) == text
    assert engine.vocab.special & set(engine.tokenize(text, special=True))


def test_fim_tokens_are_found_where_the_vocabulary_has_them(engine: Engine, tiny_qwen: Path) -> None:
    assert engine.vocab.fim is None
    with Engine.load(tiny_qwen, n_ctx=64, k_max=1, n_threads=1) as qwen:
        fim = qwen.vocab.fim
        assert fim is not None
        assert (fim.prefix, fim.suffix, fim.middle) == tuple(
            token
            for name in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
            for token in qwen.tokenize(name, special=True)
        )
        assert qwen.chat_template == tiny_gguf.CHAT_TEMPLATE
    (spare,) = engine.tokenize("<spare>", special=True)
    assert spare in engine.vocab.special
    assert not engine.vocab.special & set(engine.tokenize("def", special=True))
