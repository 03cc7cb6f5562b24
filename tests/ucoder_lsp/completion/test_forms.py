"""The table of forms: every model and shape has a question that it can be asked."""

from __future__ import annotations

import pytest

from ucoder_lsp.completion.context import Shape
from ucoder_lsp.completion.forms import Form, families, family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen2.5 Coder 0.5B Instruct AWQ", "qwen2.5-coder-instruct"),
        ("Qwen2.5 Coder 1.5B Instruct GGUF", "qwen2.5-coder-instruct"),
        ("Qwen2.5 Coder 0.5B", "other"),
        ("Smollm2 135M 8k Lc100K Mix1 Ep2", "other"),
        ("", "other"),
    ],
)
def test_the_family_is_told_by_the_models_name(model: str, family: str) -> None:
    assert family_of(model).name == family


def test_every_family_can_be_asked_in_every_shape() -> None:
    names = [family.name for family in families()]
    assert len(names) == len(set(names))
    assert not families()[-1].words, "the last family has every model"
    for family in families():
        assert set(family.questions) == set(Shape)
        assert all(family.questions.values())


def test_an_unknown_model_falls_back_to_what_every_model_can_do() -> None:
    for questions in families()[-1].questions.values():
        assert questions[-1].form is Form.CONTINUE
