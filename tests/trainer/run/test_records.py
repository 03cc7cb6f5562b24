"""Records are read only from data that fits their type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from trainer.run.records import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Inner:
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    n: int
    share: float
    done: bool
    inner: tuple[Inner, ...]
    note: str | None


PLAIN: dict[str, Any] = {"n": 1, "share": 0.5, "done": True, "inner": [{"name": "a"}], "note": None}


def test_a_record_is_read_as_it_was_written() -> None:
    record = Record(1, 0.5, True, (Inner("a"),), None)
    assert from_plain(PLAIN, Record) == record
    assert list(to_plain(record)) == list(PLAIN)
    assert from_plain(to_plain(record), Record) == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", "1"),
        ("n", 1.0),
        ("n", True),
        ("share", "0.5"),
        ("done", 1),
        ("inner", [{"name": 3}]),
        ("note", 3),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_plain(PLAIN | {field: value}, Record)


def test_a_missing_field_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="share"):
        from_plain({key: value for key, value in PLAIN.items() if key != "share"}, Record)
