"""The JSON files: round trips, and one sentence for every damage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ucoder_lsp.files import read_json, to_json, write_atomically


@dataclass(frozen=True, slots=True)
class Record:
    name: str | None
    sizes: dict[str, float]
    parents: tuple[str | None, ...] = ()


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = Record("é", {"a": 0.5}, (None, "b"))
    write_atomically(tmp_path / "record.json", to_json(record))
    assert read_json(tmp_path / "record.json", Record) == record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ('{"name": "a"}', "the field 'sizes' is missing"),
        ('{"name": 1, "sizes": {}}', "1 is not text"),
        ('{"name": "a", "sizes": {"b": "c"}}', "could not convert"),
        ('{"name": "a", "sizes": {"b": 1%s}}' % ("0" * 400), "too large"),
        ('{"name": "a", "sizes": []}', "items"),
        ("[]", "list"),
        ("null", "NoneType"),
    ],
)
def test_a_damaged_record_is_a_value_error_of_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(tmp_path / "record.json", Record)
    assert "\n" not in str(caught.value)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"name": null, "sizes": {}, "later": 1}')
    assert read_json(tmp_path / "record.json", Record) == Record(None, {})
