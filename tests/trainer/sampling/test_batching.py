"""Continuous batching, computed on the CPU here: the same texts as the serving engine, whatever is in the batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.tiny_models import random_adapter, write_model
from trainer.models.convert import convert_folder
from trainer.run.store import Stage, Store
from trainer.sampling.batching import BatchedEngine
from trainer.sampling.engines import in_parallel, open_on_gpu
from trainer.sampling.sampler import Draw, Prompt, Sampler
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineClosed, EngineError, PromptTooLong
from ucoder_lsp.engine.sampling import RowSampler
from ucoder_lsp.engine.types import Finish, GenerationRequest, Sampling
from ucoder_lsp.models.prepare import prepare_model

torch = pytest.importorskip("torch", reason="needs the train extra")

from trainer.sampling.slots import Slots, draw_tokens  # noqa: E402

TEXTS = ["x = 1\n", "def f(n):\n    return n", "import os\n" * 12, "a", "for i in range(3):\n    print(i)\n"]


BOTH_ARCHITECTURES = pytest.mark.parametrize(
    "folder", ["llama", pytest.param("qwen2", marks=pytest.mark.slow)], indirect=True, scope="module"
)
"""For tests that compare figures. The rest of the batching does not depend on the shape of the model."""


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_model(tmp_path_factory.mktemp("batching"), getattr(request, "param", "llama"))
    convert_folder(made, made / "base.gguf", dtype="f32")
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Engine]:
    with Engine.load(folder / "base.gguf", n_ctx=256, k_max=4, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Run torch in one thread: in a tiny model, waiting at every layer costs more than a second thread saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batched(folder: Path, served: Engine) -> Iterator[BatchedEngine]:
    engine = BatchedEngine(served, folder, n_slots=6, device="cpu")
    yield engine
    engine.close()


def request(engine: Engine, text: str, number: int, **options: object) -> GenerationRequest:
    temperature = (0.0, 0.7, 1.0)[number % 3]
    return GenerationRequest(
        engine.tokenize(text), k=1 if temperature == 0 else 1 + number % 5, max_tokens=9 + 4 * number,
        sampling=Sampling(temperature=temperature, top_p=(0.9, 1.0)[number % 2], seed=number), **options,
    )  # type: ignore[arg-type]  # fmt: skip


def texts(engine: BatchedEngine, asked: GenerationRequest) -> list[str]:
    return [c.text for c in engine.generate(asked).candidates]


@BOTH_ARCHITECTURES
def test_log_probabilities_are_those_of_the_serving_engine(served: Engine, batched: BatchedEngine) -> None:
    """More texts than slots, with prompts and lengths of all kinds, on each engine's own arithmetic.

    The tokens are not compared: llama.cpp's cache holds 16 bits, so a draw near a border may differ.
    """
    requests = [request(served, text, i + 3 * j) for i, text in enumerate(TEXTS) for j in range(3)]
    for asked, answer in zip(requests, in_parallel(batched.generate, requests, 5), strict=True):
        assert len(answer.candidates) == asked.k
        for candidate in answer.candidates:
            wanted = served.logprobs(asked.prompt, candidate.tokens)
            assert candidate.logprobs == pytest.approx(wanted, abs=0.03)


def test_a_text_does_not_depend_on_the_others_in_the_batch(served: Engine, batched: BatchedEngine) -> None:
    requests = [request(served, text, i + 2 * j) for i, text in enumerate(TEXTS) for j in range(2)]
    alone = [texts(batched, r) for r in requests]
    together = list(in_parallel(lambda r: texts(batched, r), requests[::-1] + requests, 6))
    assert together == alone[::-1] + alone


@BOTH_ARCHITECTURES
def test_greedy_texts_are_those_of_the_serving_engine(served: Engine, batched: BatchedEngine) -> None:
    for text in TEXTS:
        asked = GenerationRequest(served.tokenize(text), k=1, max_tokens=30, sampling=Sampling(temperature=0))
        assert texts(batched, asked) == [c.text for c in served.generate(asked).candidates]


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.8, 1.0, 1.7]), st.sampled_from([0.1, 0.9, 1.0])
)
def test_tokens_are_drawn_as_the_serving_engine_draws_them(
    seed: int, temperature: float, top_p: float
) -> None:
    random = np.random.default_rng(seed)
    logits = (random.standard_normal((4, 300)) * random.choice([0.1, 2, 30])).astype(np.float32)
    points = random.random((4, 1))
    drawn = draw_tokens(
        torch.tensor(logits), torch.tensor(points, dtype=torch.float32),
        torch.full((4, 1), temperature), torch.full((4, 1), top_p),
    )  # fmt: skip
    for row, point, token in zip(logits, points[:, 0], drawn[:, 0].tolist(), strict=True):
        sampler = RowSampler(row, Sampling(temperature=temperature, top_p=top_p))
        near = {sampler.draw(min(max(point + by, 0.0), 1 - 1e-9)) for by in (-1e-4, 0.0, 1e-4)}
        assert token in near


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # raised by PEFT
def test_base_and_adapter_are_sampled_side_by_side(
    folder: Path, served: Engine, batched: BatchedEngine, tmp_path: Path
) -> None:
    peft, adapted = random_adapter(folder, tmp_path / "adapter", r=4, lora_alpha=8)
    batched.load_adapter(peft, "one")
    base = GenerationRequest(served.tokenize(TEXTS[1]), k=2, max_tokens=12, sampling=Sampling(seed=1))
    before, answer = batched.generate(base), batched.generate(replace(base, adapter="one"))
    assert answer.adapter == "one"
    assert batched.generate(base).candidates == before.candidates != answer.candidates
    for candidate in answer.candidates:
        tokens = torch.tensor([[*base.prompt, *candidate.tokens]])
        with torch.no_grad():
            wanted = adapted(tokens).logits[0, len(base.prompt) - 1 : -1].log_softmax(-1)
        rows = range(len(candidate.tokens))
        assert candidate.logprobs == pytest.approx(wanted[rows, candidate.tokens].tolist(), abs=1e-3)


def test_a_text_ends_at_its_limit_stop_string_or_stop_rule(served: Engine, batched: BatchedEngine) -> None:
    whole = batched.generate(request(served, TEXTS[1], 1)).candidates[0]
    assert whole.finish is Finish.LENGTH
    stop = whole.text[4:6]
    cut = batched.generate(request(served, TEXTS[1], 1, stop=(stop,))).candidates[0]
    assert cut.finish is Finish.STOP
    assert cut.text == whole.text[: whole.text.index(stop)]
    when = batched.generate(
        request(served, TEXTS[1], 1, stop_when=lambda text: 3 if len(text) > 5 else None)
    ).candidates[0]
    assert (when.finish, when.text) == (Finish.STOP, whole.text[:3])


def test_a_failing_stop_rule_fails_its_own_request_only(served: Engine, batched: BatchedEngine) -> None:
    def broken(text: str) -> int | None:
        raise ValueError("no")

    asked = [request(served, TEXTS[0], 2), request(served, TEXTS[0], 5, stop_when=broken)]
    together = in_parallel(batched.generate, asked, 2)
    assert next(together).candidates == batched.generate(asked[0]).candidates
    with pytest.raises(ValueError, match="no"):
        next(together)
    assert batched.generate(asked[0]).candidates


def test_requests_that_cannot_be_served_are_refused(served: Engine, batched: BatchedEngine) -> None:
    with pytest.raises(PromptTooLong, match="exceed the context"):
        batched.generate(GenerationRequest(served.tokenize("a" * 400), max_tokens=200))
    with pytest.raises(EngineError, match="is empty"):
        batched.generate(GenerationRequest((), max_tokens=1))
    with pytest.raises(EngineError, match="top-k"):
        batched.generate(GenerationRequest(served.tokenize("a"), sampling=Sampling(top_k=3)))


def test_a_failing_prefill_fails_the_request(
    served: Engine, batched: BatchedEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Slots, begun: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Slots, "prefill", broken)
    engine = BatchedEngine(served, folder, n_slots=2, device="cpu")
    with pytest.raises(EngineError, match=r"^The GPU failed \(no\)\.$"):
        engine.generate(GenerationRequest(served.tokenize("a"), k=5))
    engine.close()


def test_closing_cancels_running_requests_and_refuses_new_ones(folder: Path, served: Engine) -> None:
    engine = BatchedEngine(served, folder, n_slots=2, device="cpu")
    begun = threading.Event()

    def never(text: str) -> None:
        begun.set()

    prompt = served.tokenize(TEXTS[0])
    asked = in_parallel(
        engine.generate, [GenerationRequest(prompt, k=5, max_tokens=200, stop_when=never)] * 3, 3
    )
    stopper = threading.Thread(target=lambda: (begun.wait(20), engine.close()))
    stopper.start()
    for answer in asked:
        assert len(answer.candidates) == 5
        assert any(c.finish is Finish.CANCELLED for c in answer.candidates)
    stopper.join()
    with pytest.raises(EngineClosed):
        engine.generate(GenerationRequest(prompt))


def test_a_failing_gpu_fails_its_requests_with_one_sentence(
    folder: Path, served: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(self: Slots, n_cells: int) -> None:
        raise RuntimeError("CUDA out of memory\nand many more lines")

    engine = BatchedEngine(served, folder, n_slots=2, device="cpu")
    monkeypatch.setattr(Slots, "step", out_of_memory)
    with pytest.raises(EngineError, match=r"^The GPU failed \(CUDA out of memory\)\.$"):
        engine.generate(GenerationRequest(served.tokenize("a"), k=3))
    with pytest.raises(EngineClosed):
        engine.generate(GenerationRequest(served.tokenize("a")))
    engine.close()


def test_a_training_run_samples_from_it_as_from_an_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a run does on a GPU, here on a CPU: many threads, shards, and no work done twice."""
    monkeypatch.setattr(
        "trainer.sampling.engines.BatchedEngine", partial(BatchedEngine, n_slots=4, device="cpu")
    )
    model = prepare_model(folder / "base.gguf", tmp_path / "cache", quantization="as-is")
    with open_on_gpu(model, folder, n_ctx=256) as engines:
        sampler, store = Sampler(engines), Store(tmp_path / "shards")
        draws = [Draw(2, 8, 0.8, seed) for seed in range(6)]
        found = list(
            in_parallel(
                lambda d: sampler.sample_once(store, Stage("tasks"), Prompt("x = 1\n"), d), draws * 2, 12
            )
        )
        assert found[:6] == found[6:]
        assert len({sample.text for samples in found for sample in samples}) > 6
    assert len(list((tmp_path / "shards" / "tasks").iterdir())) == len(draws)


def test_a_base_that_cannot_be_loaded_is_reported_at_once(tmp_path: Path, served: Engine) -> None:
    with pytest.raises((OSError, ValueError), match=str(tmp_path)):
        BatchedEngine(served, tmp_path, n_slots=2, device="cpu")
