"""The small base model that the tests of fine-tuning train."""

from __future__ import annotations

import pytest

from trainer.models.base import Base


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Two random layers in the shape of the embedded model, or of another kind given by `indirect`."""
    pytest.importorskip("trl", reason="needs the train extra")
    from tests.trainer.tiny_models import write_model
    from trainer.models.convert import convert_folder

    folder = write_model(tmp_path_factory.mktemp("base") / "model", getattr(request, "param", "llama"))
    convert_folder(folder, folder / "base.gguf", dtype="f32")
    return Base(folder, folder / "base.gguf")
