"""Copies of a model: results in order, samples that do not depend on earlier requests, and stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tiny_gguf
from trainer.errors import BaseModelError
from trainer.sampling.answers import StopRule
from trainer.sampling.engines import Engines, in_parallel, open_engines
from trainer.sampling.sampler import Draw, Prompt, Sampler, render
from ucoder_lsp.models.prepare import prepare_model

DRAW = Draw(6, 20, 0.9, seed=3)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    folder = tmp_path_factory.mktemp("engines")
    model = prepare_model(tiny_gguf.write_model(folder / "tiny.gguf"), folder / "cache", quantization="as-is")
    with open_engines(model, n_ctx=512, k_max=8, threads=2) as opened:
        yield opened


def test_results_come_in_order_and_are_computed_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)  # breaks unless two of them work at the same time

    def work(number: int) -> int:
        meeting.wait()
        return number * number

    assert list(in_parallel(work, range(6), 2)) == [0, 1, 4, 9, 16, 25]


def test_after_a_failure_nothing_new_begins() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("no")
        time.sleep(0.05)
        return number

    with pytest.raises(ValueError, match="no"):
        list(in_parallel(work, range(100), 2))
    assert len(begun) < 10


def test_a_prompt_counts_the_characters_that_others_share() -> None:
    def rating(title: str) -> Prompt:
        return render("rating", problem={"title": title, "task": "Do \x1e it."}, outline="def f(x):")

    one, other = rating("One"), rating("Another")
    assert one.n_shared == other.n_shared > 300
    assert one.text[: one.n_shared] == other.text[: one.n_shared]
    assert one.text[one.n_shared :].startswith("## One")
    assert render("solve_sentence", statement="Do it.").n_shared == 0


def test_samples_do_not_depend_on_earlier_requests(engines: Engines) -> None:
    assert len(engines) == 2
    sampler = Sampler(engines)
    prompts = [Prompt(f"x = 1\ny = 2\nf{i}(x) == {i}\n", shared) for shared in (0, 12, 6) for i in range(3)]

    def ask(prompt: Prompt) -> list[object]:
        return list(sampler.sample(prompt, DRAW))

    alone = [ask(prompt) for prompt in prompts]
    together = list(in_parallel(ask, prompts[::-1] + prompts, len(engines)))
    assert together == alone[::-1] + alone


def test_sampling_that_is_stopped_returns_no_incomplete_texts(engines: Engines, tmp_path: Path) -> None:
    model = prepare_model(
        tiny_gguf.write_model(tmp_path / "tiny.gguf"), tmp_path / "cache", quantization="as-is"
    )
    with open_engines(model, n_ctx=2048, k_max=8, threads=1) as opened:
        sampler = Sampler(opened)
        begun = threading.Event()

        def never(text: str) -> None:
            begun.set()

        def ask(_: int) -> object:
            return sampler.sample(Prompt("x = 1\n"), Draw(8, 1000, 0.9, seed=1), StopRule("never", never))

        asked = in_parallel(ask, range(3), 1)
        stopper = threading.Thread(target=lambda: (begun.wait(20), opened.first.close()))
        stopper.start()
        with pytest.raises(BaseModelError, match="stopped"):
            next(asked)
        stopper.join()
