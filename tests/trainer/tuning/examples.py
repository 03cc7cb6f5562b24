"""A small data set and quick settings for the tests of fine-tuning."""

from __future__ import annotations

import pytest

from trainer.data.dataset import TrainingExample
from trainer.tuning.finetune import Tuning

SLOW_AND_NOISY = [
    pytest.mark.slow,
    # Warnings of the libraries about one another.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FOUR_BIT = pytest.mark.parametrize("four_bit", [False, True], ids=["lora", "qlora"])

TUNING = Tuning(rank=4, epochs=4, learning_rate=3e-3, batch=4, seed=0)
ONCE = Tuning(rank=4, epochs=1, learning_rate=3e-3, batch=4, seed=0)
"""For tests in which nothing must be learned."""
ROWS = [
    TrainingExample(f"add_{i}", f"Write add_{i}.\n", f"```python\ndef add_{i}(x):\n    return x + {i}\n```")
    for i in range(8)
]
OWN = [
    TrainingExample(word, f"{word} the text.\n", f"def {word}(text):\n    return text.{word}()")
    for word in ("lower", "upper", "strip", "title", "split", "swapcase")
]


def quiet(done: int, total: int, loss: float) -> None:
    """Report progress to nobody."""
