"""The result of a run, as result.json holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.run.whole_run import WHOLE, write_run
from trainer.errors import StoreError
from trainer.result import Result, finished_nights, read_result
from trainer.run.folder import RunFolder
from trainer.run.records import to_plain

WRITTEN = WHOLE["consensus/result.json"]


def test_a_result_of_this_release_is_read_and_written_unchanged(tmp_path: Path) -> None:
    write_run(tmp_path)
    result = read_result(RunFolder(tmp_path), "consensus")
    assert isinstance(result, Result)
    assert (result.nights, result.acceptance.problems, result.report) == (2, 9, Path("r.html"))
    assert json.dumps(to_plain(result)) == json.dumps(WRITTEN)


def test_an_arm_without_a_result_has_finished_no_night(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert finished_nights(RunFolder(tmp_path), "consensus") == 2
    assert finished_nights(RunFolder(tmp_path), "random") == 0


@pytest.mark.parametrize("field", ["nights", "learned"])
def test_a_result_of_an_earlier_version_is_refused(tmp_path: Path, field: str) -> None:
    lacking = {key: value for key, value in WRITTEN.items() if key != field}
    write_run(tmp_path, **{"consensus/result.json": json.dumps(lacking)})
    with pytest.raises(StoreError, match=f"has no '{field}', .* under another --run name") as refused:
        finished_nights(RunFolder(tmp_path), "consensus")
    assert "\n" not in str(refused.value)
