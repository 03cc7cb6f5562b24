"""The engine on a tiny model: candidates, their ends, isolation of requests."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ucoder_lsp.engine.engine import Engine, Ticket
from ucoder_lsp.engine.errors import EngineClosed, EngineError, ModelLoadError, PromptTooLong
from ucoder_lsp.engine.sampling import RowSampler, uniforms
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest, Sampling

PROMPT_TEXT = "def is_even(n):\n    return"


@pytest.fixture
def request_8(engine: Engine) -> GenerationRequest:
    return GenerationRequest(engine.tokenize(PROMPT_TEXT), k=8, max_tokens=24, sampling=Sampling(0.8, seed=5))


def assert_as_if_alone(
    engine: Engine,
    request: GenerationRequest,
    answer: Generation,
    *,
    draw_atol: float = 0.01,
    logprob_atol: float = 0.02,
    strays: float = 0.0,
) -> None:
    """Assert that each candidate equals one that is computed alone.

    It must follow from its own stream and from the logits of its sequence alone.
    The KV cache is float16 and a row may be rounded differently in another batch. So a draw within `draw_atol` of the
    border between two tokens may fall on either side, and log-probabilities agree to `logprob_atol`. `strays` is the
    share of draws that may be further off.
    """
    assert len(answer.candidates) == request.k
    astray = 0
    shifts = np.linspace(-draw_atol, draw_atol, int(8000 * draw_atol) + 1)
    for i, candidate in enumerate(answer.candidates):
        rows = engine.logits((*request.prompt, *candidate.tokens), request.adapter)[len(request.prompt) - 1 :]
        samplers = [RowSampler(row, request.sampling) for row in rows]
        stream = uniforms(request.sampling.seed, i, request.max_tokens)
        for sampler, token, logprob, u in zip(
            samplers, candidate.tokens, candidate.logprobs, stream, strict=False
        ):
            astray += token not in {sampler.draw(max(0, u + d)) for d in shifts}
            assert logprob == pytest.approx(sampler.logprob(token), abs=logprob_atol)
        n = len(candidate.tokens)
        if candidate.finish is Finish.EOS:
            ends = {samplers[n].draw(max(0, stream[n] + d)) for d in shifts}
            astray += ends.isdisjoint(engine.vocab.special)
    assert astray <= strays * sum(len(candidate.tokens) for candidate in answer.candidates)


@pytest.mark.parametrize("temperature", [0.3, 0.8])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_candidates_equal_a_naive_reference(
    tiny_model: Path, tiny_qwen: Path, family: str, temperature: float
) -> None:
    with Engine.load(
        tiny_model if family == "llama" else tiny_qwen, n_ctx=256, k_max=4, n_threads=1
    ) as engine:
        request = GenerationRequest(
            engine.tokenize(PROMPT_TEXT), k=30, max_tokens=12, sampling=Sampling(temperature, seed=11)
        )
        answer = engine.generate(request)
        assert len({c.tokens for c in answer.candidates}) > 10
        assert_as_if_alone(engine, request, answer)


def test_sharing_rows_changes_the_cost_and_not_the_answer(tiny_model: Path) -> None:
    rows = {}
    for share in (True, False):
        with Engine.load(tiny_model, n_ctx=256, k_max=8, n_threads=1, share_rows=share) as engine:
            request = GenerationRequest(
                engine.tokenize(PROMPT_TEXT), k=8, max_tokens=12, sampling=Sampling(0.3, seed=2)
            )
            answer = engine.generate(request)
            assert_as_if_alone(engine, request, answer)
            rows[share] = answer.n_rows
    assert rows[True] < 0.9 * rows[False]


def test_equal_candidates_cost_one_row_per_step(engine: Engine, request_8: GenerationRequest) -> None:
    answer = engine.generate(replace(request_8, sampling=Sampling(temperature=0)))
    assert len(set(answer.candidates)) == 1
    assert answer.n_rows == answer.n_steps


def test_more_candidates_than_sequences(engine: Engine, request_8: GenerationRequest) -> None:
    request = replace(request_8, k=50)
    assert_as_if_alone(engine, request, engine.generate(request))


def test_a_context_of_many_sequences(tiny_model: Path) -> None:
    """With fewer rows of logits than sequences llama.cpp would abort the process."""
    with Engine.load(tiny_model, n_ctx=64, k_max=200, n_threads=1) as engine:
        request = GenerationRequest(engine.tokenize("x = "), k=230, max_tokens=4)
        assert_as_if_alone(engine, request, engine.generate(request))


def test_the_same_request_gives_the_same_answer(engine: Engine, request_8: GenerationRequest) -> None:
    engine.generate(request_8)  # from here on the prompt is cached: the state of the engine is the same
    first, second = engine.generate(request_8), engine.generate(request_8)
    assert first.candidates == second.candidates
    other = engine.generate(replace(request_8, sampling=replace(request_8.sampling, seed=6)))
    assert [c.tokens for c in other.candidates] != [c.tokens for c in first.candidates]


def test_a_reused_prefix_gives_the_same_logits(engine: Engine, request_8: GenerationRequest) -> None:
    long = engine.tokenize("x = 1\n" * 30) + request_8.prompt
    engine.logits(long[:1])  # empties the cache
    request = replace(request_8, prompt=long)
    assert engine.generate(request).n_cached_tokens == 0
    engine.generate(replace(request, prompt=(*long, *long[:9])))
    engine.generate(request_8)
    reused = engine.generate(request)
    assert reused.n_cached_tokens == len(long) - 1
    assert_as_if_alone(engine, request, reused)


def test_prompts_of_every_kind_in_turn_fill_and_empty_the_cache(tiny_model: Path) -> None:
    """The prompts together exceed the cache: eviction never changes an answer."""
    with Engine.load(tiny_model, n_ctx=128, n_cells=200, k_max=4, n_threads=1) as engine:
        random = np.random.default_rng(0)
        base = [tuple(map(int, random.integers(0, 250, 90))) for _ in range(6)]
        for _ in range(40):
            prompt = base[random.integers(6)][: random.integers(2, 90)] + base[random.integers(6)][:10]
            request = GenerationRequest(
                prompt, k=2, max_tokens=6, sampling=Sampling(seed=int(random.integers(9)))
            )
            got = engine.generate(request)
            if random.random() < 0.3:  # the reference itself empties the cache
                assert_as_if_alone(engine, request, got)


def test_logprobs_match_a_direct_softmax(engine: Engine, request_8: GenerationRequest) -> None:
    for candidate in engine.generate(request_8).candidates[:3]:
        direct = engine.logprobs(request_8.prompt, candidate.tokens)
        assert np.allclose(candidate.logprobs, direct, atol=0.02)


def test_stop_strings_cut_the_text_even_across_tokens(engine: Engine, request_8: GenerationRequest) -> None:
    for candidate in engine.generate(request_8).candidates:
        if len(candidate.text) < 6:
            continue
        stop = candidate.text[3:5]
        again = engine.generate(replace(request_8, stop=("\0never", stop)))
        for stopped in again.candidates:
            assert stop not in stopped.text
        assert any(c.finish is Finish.STOP for c in again.candidates)


def test_tokens_and_text_agree(engine: Engine, request_8: GenerationRequest) -> None:
    for candidate in engine.generate(replace(request_8, k=20, stop=("e", "\n"))).candidates:
        assert engine.vocab.detokenize(candidate.tokens).startswith(candidate.text.rstrip("�"))
        assert len(candidate.tokens) == len(candidate.logprobs)


def test_stop_when_ends_at_the_index_it_gives(engine: Engine, request_8: GenerationRequest) -> None:
    answer = engine.generate(replace(request_8, stop_when=lambda text: 2 if len(text) >= 5 else None))
    assert {len(c.text) for c in answer.candidates if c.finish is Finish.STOP} == {2}


def test_an_exception_in_stop_when_fails_only_that_request(
    engine: Engine, request_8: GenerationRequest
) -> None:
    def broken(text: str) -> int | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.generate(replace(request_8, stop_when=broken))
    assert_as_if_alone(engine, request_8, engine.generate(request_8))


def test_on_candidate_gets_each_candidate_as_it_ends(engine: Engine, request_8: GenerationRequest) -> None:
    reported: dict[int, Candidate] = {}
    answer = engine.generate(replace(request_8, k=20, on_candidate=reported.__setitem__, stop=("e",)))
    assert tuple(reported[i] for i in range(20)) == answer.candidates


@pytest.fixture
def busy(engine: Engine) -> Iterator[tuple[Engine, Ticket, threading.Event]]:
    """Yield an engine whose current request waits for the event."""
    event, at_work = threading.Event(), threading.Event()

    def hold(text: str) -> int | None:
        at_work.set()
        event.wait(10)
        return None

    # Only a cancellation or the length ends it.
    ticket = engine.submit(GenerationRequest((1, 2, 3), k=1, max_tokens=400, stop_when=hold))
    assert at_work.wait(10)
    yield engine, ticket, event
    ticket.cancel()
    event.set()
    ticket.result(30)


def test_cancelling_keeps_the_text_so_far(busy: tuple[Engine, Ticket, threading.Event]) -> None:
    _, ticket, event = busy
    ticket.cancel()
    event.set()
    (candidate,) = ticket.result(10).candidates
    assert candidate.finish is Finish.CANCELLED
    assert 1 <= len(candidate.tokens) < 400


def test_a_request_cancelled_in_the_queue_costs_nothing(
    busy: tuple[Engine, Ticket, threading.Event], request_8: GenerationRequest
) -> None:
    engine, ticket, event = busy
    waiting_ticket = engine.submit(request_8)
    waiting_ticket.cancel()
    ticket.cancel()
    event.set()
    answer = waiting_ticket.result(10)
    assert {c.finish for c in answer.candidates} == {Finish.CANCELLED}
    assert (answer.n_rows, len(answer.candidates)) == (0, 8)


def test_a_deadline_returns_the_text_so_far(engine: Engine) -> None:
    def slow(text: str) -> int | None:
        time.sleep(0.02)
        return None

    request = GenerationRequest((1, 2, 3), k=1, max_tokens=400, stop_when=slow, deadline_s=0.2)
    (candidate,) = engine.generate(request).candidates
    assert candidate.finish is Finish.DEADLINE
    assert 1 <= len(candidate.tokens) < 400


def test_a_deadline_of_zero_gives_empty_candidates(engine: Engine, request_8: GenerationRequest) -> None:
    answer = engine.generate(replace(request_8, deadline_s=0.0))
    assert [(c.text, c.finish) for c in answer.candidates] == [("", Finish.DEADLINE)] * 8


def test_a_cancelled_candidate_is_reported_and_the_next_request_is_served(
    engine: Engine, request_8: GenerationRequest
) -> None:
    ended: list[Candidate] = []
    at_work = threading.Event()

    def slow(text: str) -> int | None:
        at_work.set()
        time.sleep(0.02)
        return None

    ticket = engine.submit(
        GenerationRequest(
            (1, 2, 3), k=1, max_tokens=400, stop_when=slow, on_candidate=lambda i, c: ended.append(c)
        )
    )
    assert at_work.wait(10)
    ticket.cancel()
    assert len(engine.generate(request_8).candidates) == 8
    assert [c.finish for c in ended] == [Finish.CANCELLED]


def test_many_threads_each_get_their_own_answer(engine: Engine, request_8: GenerationRequest) -> None:
    requests = [replace(request_8, prompt=engine.tokenize(f"value_{i} = "), k=2) for i in range(8)]
    got: dict[int, Generation] = {}

    def send(i: int) -> None:
        got[i] = engine.generate(requests[i])

    threads = [threading.Thread(target=send, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, request in enumerate(requests):
        assert_as_if_alone(engine, request, got[i])


def test_a_prompt_that_does_not_fit_reports_the_longest_that_does(engine: Engine) -> None:
    with pytest.raises(PromptTooLong, match="trim the prompt to 412 tokens") as caught:
        engine.submit(GenerationRequest((1,) * 600, max_tokens=100))
    fitting = GenerationRequest((1,) * caught.value.n_prompt_max, k=3, max_tokens=100)
    assert len(engine.generate(fitting).candidates) == 3


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GenerationRequest(()), "prompt is empty"),
        (GenerationRequest((1,), k=0), "at least one"),
        (GenerationRequest((1,), max_tokens=0), "at least one"),
        (GenerationRequest((1, 10**6)), "tokens outside"),
        (GenerationRequest((-1,)), "tokens outside"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(
    engine: Engine, request_: GenerationRequest, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        engine.submit(request_)


def test_bad_files_are_refused_with_a_reason(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model file"):
        Engine.load(tmp_path / "missing.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:20_000])
    with pytest.raises(ModelLoadError, match="cannot load"):
        Engine.load(cut)
    with pytest.raises(EngineError, match="k_max is 0"):
        Engine.load(tiny_model, k_max=0)


def test_llama_cpp_writes_nothing_to_the_terminal(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Engine.load(tiny_model, n_ctx=64, k_max=1, n_threads=1) as engine:
        engine.generate(GenerationRequest((1,), k=1, max_tokens=4))
    assert capfd.readouterr() == ("", "")


def test_closing_cancels_pending_requests_and_refuses_new_ones(tiny_model: Path) -> None:
    engine = Engine.load(tiny_model, n_ctx=512, k_max=1, n_threads=1)
    tickets = [engine.submit(GenerationRequest((1,), k=1, max_tokens=500)) for _ in range(3)]
    engine.close()
    engine.close()
    assert all(t.future.done() and t.result().candidates[0].finish for t in tickets)
    with pytest.raises(EngineClosed):
        engine.submit(GenerationRequest((1,)))


def test_an_unused_engine_frees_itself(tiny_model: Path) -> None:
    engine = Engine.load(tiny_model, n_ctx=64, k_max=1, n_threads=1)
    engine.generate(GenerationRequest((1,), k=1, max_tokens=4))
    thread = engine._thread
    del engine
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
