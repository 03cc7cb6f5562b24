"""The adapters in the engine: each answer uses the named adapter.

This holds in any order of swaps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny_gguf
from ucoder_lsp.adapters.follower import AdapterFollower
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import AdapterLoadError, UnknownAdapter
from ucoder_lsp.engine.types import Generation, GenerationRequest, Sampling

GREEDY = Sampling(temperature=0)
NAMES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {name: tiny_gguf.write_adapter(folder / f"{name}.gguf", seed=i) for i, name in enumerate(NAMES)}


@pytest.fixture
def engine(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that keeps fewer adapters loaded than these tests use."""
    monkeypatch.setattr("ucoder_lsp.engine.adapters_runtime.MAX_LOADED", 2)
    with Engine.load(tiny_model, n_ctx=256, k_max=4, n_threads=1) as engine:
        yield engine


def first_tokens(engine: Engine, prompt: tuple[int, ...], adapter: str | None) -> tuple[int, ...]:
    (candidate,) = engine.generate(GenerationRequest(prompt, 1, 6, GREEDY, adapter=adapter)).candidates
    return candidate.tokens


def test_an_adapter_changes_the_answer_only_while_it_is_named(engine: Engine, files: dict[str, Path]) -> None:
    prompt = engine.tokenize("x = ")
    base = engine.logits(prompt)
    for name, path in files.items():
        engine.load_adapter(path, name)
    logits = {name: engine.logits(prompt, name) for name in NAMES}
    for name in NAMES:
        assert np.abs(logits[name] - base).max() > 0.5
        assert all(np.abs(logits[name] - logits[other]).max() > 0.5 for other in NAMES if other != name)
    assert np.allclose(engine.logits(prompt), base, atol=1e-5)


def test_a_cached_prompt_is_not_used_under_another_adapter(engine: Engine, files: dict[str, Path]) -> None:
    prompt = engine.tokenize("x = 1\n" * 20)
    engine.load_adapter(files["one"], "one")
    request = GenerationRequest(prompt, 1, 4, GREEDY)
    assert engine.generate(request).n_cached_tokens == 0
    assert engine.generate(request).n_cached_tokens > 0
    swapped = engine.generate(GenerationRequest(prompt, 1, 4, GREEDY, adapter="one"))
    assert swapped.n_cached_tokens == 0
    assert swapped.adapter == "one"
    assert engine.generate(request).n_cached_tokens == 0


def test_unknown_adapter(engine: Engine, files: dict[str, Path]) -> None:
    with pytest.raises(UnknownAdapter, match="absent is not loaded"):
        engine.generate(GenerationRequest((1, 2), adapter="absent"))
    engine.load_adapter(files["one"], "one")
    assert engine.generate(GenerationRequest((1, 2), max_tokens=2, adapter="one")).adapter == "one"


def test_bad_adapters_are_refused_without_side_effects(
    engine: Engine, files: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    expected = first_tokens(engine, (1, 2, 3), None)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files["one"].read_bytes()[:-5000])
    other = tiny_gguf.write_adapter(tmp_path / "qwen.gguf", seed=1, architecture="qwen2")
    for path in (cut, other, tiny_model):
        with pytest.raises(AdapterLoadError, match="damaged or made for another base model"):
            engine.load_adapter(path, "bad")
    with pytest.raises(AdapterLoadError, match="no adapter file"):
        engine.load_adapter(tmp_path / "none.gguf", "bad")
    with pytest.raises(UnknownAdapter):
        engine.generate(GenerationRequest((1, 2), adapter="bad"))
    engine.load_adapter(files["one"], "one")
    with pytest.raises(AdapterLoadError, match="already loaded"):
        engine.load_adapter(files["two"], "one")
    assert first_tokens(engine, (1, 2, 3), None) == expected


def test_a_thousand_requests_under_random_swaps(engine: Engine, files: dict[str, Path]) -> None:
    """No request fails or uses the wrong adapter.

    There are several threads, and more adapters than stay loaded.
    """
    prompts = [engine.tokenize(text) for text in ("x = ", "def f(", "return n", "for i in")]
    for name, path in files.items():
        engine.load_adapter(path, name)
    choices: list[str | None] = [None, *NAMES]
    alone = {(p, a): first_tokens(engine, p, a) for p in prompts for a in choices}
    assert len(set(alone.values())) == len(alone), "the adapters must differ in their answers"
    wrong: list[object] = []

    def send_requests(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(250):
            prompt, adapter = prompts[random.integers(len(prompts))], choices[random.integers(len(choices))]
            try:
                answer = engine.generate(GenerationRequest(prompt, 2, 6, GREEDY, adapter=adapter))
            except Exception as error:  # collected: no request may fail
                wrong.append(error)
                continue
            if answer.adapter != adapter or any(
                c.tokens != alone[prompt, adapter] for c in answer.candidates
            ):
                wrong.append((adapter, answer))

    threads = [threading.Thread(target=send_requests, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_publications_and_rollbacks_under_load(
    engine: Engine, files: dict[str, Path], tmp_path: Path
) -> None:
    """Requests continue while another process publishes, uses and rolls back versions."""
    registry = AdapterRegistry(tmp_path, "ab" * 32)
    follower = AdapterFollower(AdapterRegistry(tmp_path, "ab" * 32), engine)
    prompt = engine.tokenize("x = ")
    done = threading.Event()
    answers: list[tuple[str | None, Generation]] = []

    def serve() -> None:
        while not done.is_set():
            identity = follower.identity()
            answers.append(
                (identity, engine.generate(GenerationRequest(prompt, 2, 6, GREEDY, adapter=identity)))
            )

    def served_since(count: int) -> None:
        """Wait for two more answers.

        At least one of them was requested after the change.
        """
        while len(answers) < count + 2 and server.is_alive():
            time.sleep(0.001)

    server = threading.Thread(target=serve)
    server.start()
    served_since(0)
    expected: dict[str | None, tuple[int, ...]] = {None: first_tokens(engine, prompt, None)}
    for name in NAMES:
        version = registry.publish(files[name], base_name="tiny", training_run=name, metrics={})
        follower.identity()
        expected[version.identity] = first_tokens(engine, prompt, version.identity)
        served_since(len(answers))
    registry.rollback()
    registry.use(None)
    done.set()
    server.join()
    assert follower.identity() is None
    assert len(set(expected.values())) == 5
    assert len(answers) >= 10
    assert {identity for identity, _ in answers} >= set(expected), "each of them has answered"
    for identity, answer in answers:
        assert answer.adapter == identity
        assert {c.tokens for c in answer.candidates} == {expected[identity]}


def test_a_bad_publication_leaves_the_last_good_one_in_service(
    engine: Engine, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = AdapterRegistry(tmp_path / "registry", "ab" * 32)
    follower = AdapterFollower(AdapterRegistry(registry.root, registry.base_sha256), engine)
    good = registry.publish(files["one"], base_name="tiny", training_run="r", metrics={})
    assert follower.identity() == good.identity
    assert follower.problem() is None
    # A complete file for another architecture: only llama.cpp detects it.
    other = tiny_gguf.write_adapter(tmp_path / "other.gguf", seed=1, architecture="qwen2")
    foreign = registry.publish(other, base_name="tiny", training_run="r", metrics={})
    for _ in range(2):
        assert follower.identity() == good.identity
        assert "made for another base model" in str(follower.problem())
        monkeypatch.setattr(engine, "load_adapter", lambda *_: pytest.fail("tried again"))
    monkeypatch.undo()
    # Damaged on disk after it was published.
    bad = registry.publish(files["two"], base_name="tiny", training_run="r", metrics={})
    bad.path.write_bytes(b"GGUF")
    for _ in range(2):
        assert follower.identity() == good.identity
        assert "damaged" in str(follower.problem())
        monkeypatch.setattr(
            "ucoder_lsp.adapters.manifest.file_sha256", lambda path: pytest.fail("hashed again")
        )
    monkeypatch.undo()
    # Roll back to the one that does not load, then to the one that stayed in service.
    assert registry.rollback() == foreign.version
    assert follower.identity() == good.identity
    assert "made for another base model" in str(follower.problem())
    assert registry.rollback() == good.version
    assert follower.identity() == good.identity
    assert follower.problem() is None
    third = registry.publish(files["three"], base_name="tiny", training_run="r", metrics={})
    assert follower.identity() == third.identity
    assert follower.served() == third
