"""The records of what was measured: kept, read, and ignored when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ucoder_lsp.models import measured
from ucoder_lsp.engine.trial import Trial
from ucoder_lsp.models.measurements import MeasuredKind, Measurement, keep_measurement, read_measurement

SHA = "a" * 64
positive = st.floats(0.01, 1e4)


def test_a_record_is_read_as_it_was_kept(tmp_path: Path) -> None:
    record = Measurement(
        SHA, "q8_0", (measured.kind("as-is"), measured.kind("q8_0", 0.5, None)), False, ("x",)
    )
    keep_measurement(record, tmp_path, 2)
    assert read_measurement(SHA, tmp_path, 2) == record
    assert read_measurement(SHA, tmp_path, 3) is None, "another number of threads is another machine"
    assert read_measurement("b" * 64, tmp_path, 2) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"chosen": "as-is"', '"chosen": "q8_0"'),
        lambda text: text.replace('"chosen": "as-is"', '"chosen": ""'),
        lambda text: text.replace(SHA, "b" * 64),
        lambda text: json.dumps(json.loads(text) | {"kinds": []}),
        lambda text: text.replace('"step_ms": ', '"step_ms": -'),
        lambda text: text.replace('"perplexity": 4.0', '"perplexity": NaN'),
        lambda text: text.replace('"prefill_per_s"', '"prefill"'),
    ],
)
def test_a_damaged_record_counts_as_missing(tmp_path: Path, damage: object) -> None:
    keep_measurement(measured.record(SHA, 1.0), tmp_path, 2)
    (path,) = (tmp_path / "measurements").iterdir()
    changed = damage(path.read_text())  # type: ignore[operator]
    assert changed != path.read_text(), "the damage is one"
    path.write_text(changed)
    assert read_measurement(SHA, tmp_path, 2) is None


def test_a_folder_that_cannot_be_written_loses_only_the_record(tmp_path: Path) -> None:
    (tmp_path / "measurements").write_text("a file where the folder would be")
    keep_measurement(measured.record(SHA, 1.0), tmp_path, 2)
    assert read_measurement(SHA, tmp_path, 2) is None


@given(positive, positive, positive, st.integers(1, 31))
def test_a_line_takes_longer_with_more_candidates(prefill: float, one: float, eight: float, k: int) -> None:
    kind = MeasuredKind("as-is", 1, Trial(False, prefill, one, eight, None))
    assert kind.line_s(k) <= kind.line_s(k + 1)
    assert kind.line_s(1) == pytest.approx(128 / prefill + 12 * one / 1000)
