"""Test fitting and calibration on invented problems, and recorded files."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.consensus.calibration import (
    INPUTS,
    Confidence,
    Fitted,
    Parameters,
    Row,
    confidence_inputs,
    expected_calibration_error,
    fit,
    fit_confidence,
    fit_weights,
    read_rows,
    shipped,
    task_key,
    write_rows,
)
from sandbox.consensus.evaluation import RuleResult, bootstrap_difference
from sandbox.consensus.replay import RecordingError, cut_body, load
from sandbox.consensus.rules.features import NAMES
from sandbox.consensus.rules.joint import Joint
from sandbox.inputs.asserts import from_asserts

FEATURES = ("decisive", "agreement")


def rows(n: int) -> list[Row]:
    """Make problems in which the first feature decides, with some noise."""
    generator = np.random.default_rng(0)
    found = []
    for i in range(n):
        features = generator.normal(size=(6, 2))
        right = np.zeros(6)
        right[(features[:, 0] + 0.3 * generator.normal(size=6)).argmax()] = 1.0
        same = np.zeros(6)
        found.append(Row(task_key(f"task {i}"), features, right, same, same, 1.0, 6))
    return found


def test_fit_finds_the_feature_that_decides():
    weights = fit_weights(rows(80), FEATURES)
    assert weights["decisive"] > 1.0
    assert abs(weights["agreement"]) < 0.3 * weights["decisive"]


def test_weights_do_not_depend_on_the_unit_of_a_feature():
    scaled = [replace(row, features=row.features * [1000.0, 1.0]) for row in rows(40)]
    once, again = fit_weights(rows(40), FEATURES), fit_weights(scaled, FEATURES)
    assert again["decisive"] == pytest.approx(once["decisive"] / 1000, abs=1e-5)
    assert again["agreement"] == pytest.approx(once["agreement"], abs=1e-3)


def test_a_feature_that_never_differs_gets_no_weight():
    same = [
        replace(row, features=np.column_stack([row.features[:, 0], np.full(6, -3.9)])) for row in rows(40)
    ]
    assert fit_weights(same, FEATURES)["agreement"] == 0.0


def test_folds_are_fitted_without_their_tasks():
    data = rows(40)
    fitted = fit(data, [row.task for row in data], FEATURES)
    for fold in range(len(fitted.folds)):
        others = [row for row in data if fitted.seen[row.task] != fold]
        assert fitted.folds[fold].weights == fit_weights(others, FEATURES)
        changed = [replace(r, right=1 - r.right) if fitted.seen[r.task] == fold else r for r in data]
        again = fit(changed, [row.task for row in data], FEATURES)
        assert again.folds[fold].weights == fitted.folds[fold].weights


def test_a_task_the_parameters_were_fitted_on_gets_those_of_its_fold():
    prompt = "a recorded task"
    parameters = [Parameters({"agreement": float(k)}) for k in range(3)]
    fitted = Fitted(parameters[2], tuple(parameters[:2]), {task_key(prompt): 1})
    assert Joint().out_of_fold(prompt, fitted).parameters is parameters[1]
    assert Joint().out_of_fold("another task", fitted).parameters is parameters[2]


def test_shipped_parameters_fit_the_features():
    for parameters in (shipped().everything, *shipped().folds):
        assert tuple(parameters.weights) == NAMES
        sure, unsure = (
            parameters.confidence(confidence_inputs(share, agreement, agreement, 100))
            for share, agreement in ((0.99, 0.9), (0.1, 0.05))
        )
        assert 0.0 <= unsure < 0.4
        assert 0.7 < sure <= 1.0


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000), st.floats(0, 5), st.floats(0, 5))
def test_confidence_stays_in_range_and_rises_with_the_share(share, agreement, n, by_share, by_agreement):
    confidence = Confidence(-2.0, by_share, by_agreement, log_candidates=0.2)
    value = confidence(confidence_inputs(share, agreement, 0.5, n))
    assert 0.0 <= value <= 1.0
    assert confidence(confidence_inputs(min(share + 0.1, 1.0), agreement, 0.5, n)) >= value


def test_fitted_confidence_is_the_share_that_was_right():
    """Fit on winners right in 80 % with agreement, 20 % without."""
    generator = np.random.default_rng(0)
    agreement = generator.integers(0, 2, 2000).astype(float)
    inputs = generator.normal(size=(2000, len(INPUTS)))
    inputs[:, INPUTS.index("agreement")] = agreement
    right = (generator.random(2000) < 0.2 + 0.6 * agreement).astype(float)
    confidence = fit_confidence(inputs, right, np.ones(2000))
    assert confidence(confidence_inputs(0.5, 1.0, 0.0, 1)) == pytest.approx(0.8, abs=0.06)
    assert confidence(confidence_inputs(0.5, 0.0, 0.0, 1)) == pytest.approx(0.2, abs=0.06)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1), st.floats(-9, 0)), min_size=1, max_size=6))
def test_written_rows_are_read_again(clusters: list[tuple[float, float, float]]):
    features, right, fluent = (np.round(column, 4) for column in zip(*clusters, strict=True))
    row = Row("a" * 12, np.column_stack([features, features]), right, right[::-1], fluent, 0.3333, 8, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder, "rows.jsonl"), [row, row])
        read, again = read_rows(Path(folder, "rows.jsonl"))
    assert (read.task, read.weight, read.n_candidates, read.examples) == ("a" * 12, 0.3333, 8, 0.5)
    for name in ("features", "right", "alike", "log_probability"):
        assert np.array_equal(getattr(read, name), getattr(row, name))
    assert again.task == read.task


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"task": "a"}', '{"task": "a", "features": "x"}'])
def test_a_damaged_row_is_named(line: str, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"rows.jsonl, line 1 is not an election"):
        read_rows(path)


def test_a_confidence_learns_what_kept_examples_are_worth():
    """Among equal winners, those that keep the examples are right twice as often."""
    generator = np.random.default_rng(0)
    data = [
        Row(
            task_key(f"task {i}"),
            np.zeros((1, 2)),
            np.array([float(generator.random() < p)]),
            np.ones(1),
            np.zeros(1),
            1.0,
            8,
            kept,
        )
        for i in range(2000)
        for p, kept in [(0.9, 1.0) if i % 2 else (0.45, 0.0)]
    ]
    confidence = fit(data, [row.task for row in data], FEATURES).everything.confidence
    assert confidence(confidence_inputs(1.0, 0.0, 1.0, 8, examples=1.0)) == pytest.approx(0.9, abs=0.07)
    assert confidence(confidence_inputs(1.0, 0.0, 1.0, 8)) == pytest.approx(0.45, abs=0.07)


def test_calibration_error_of_a_certain_but_wrong_rule_is_one():
    assert expected_calibration_error(np.ones(5), np.zeros(5)) == 1.0
    assert expected_calibration_error(np.array([0.25] * 4), np.array([1.0, 0, 0, 0])) == 0.0


def result(right: list[float], confidence: list[float]) -> RuleResult:
    return RuleResult("x", np.array(right), np.array(confidence), np.ones(len(right), bool), len(right))


def test_precision_averages_over_equal_confidence():
    assert result([1, 0, 0, 0], [0.9, 0.5, 0.5, 0.5]).precision(0.25) == 1.0
    assert result([1, 0, 1, 0], [0.5] * 4).precision(0.25) == 0.5


def test_bootstrap_interval_contains_the_difference():
    mean, low, high = bootstrap_difference(result([1, 1, 0, 1], [1] * 4), result([0, 1, 0, 1], [1] * 4))
    assert low <= mean <= high
    assert mean == 0.25


@pytest.mark.parametrize(
    ("solution", "body"),
    [
        ("    return 1\n\n\ndef g():\n    pass\n", "    return 1\n"),
        ("    x = '''\na\n'''\n    return x\nprint(1)", "    x = '''\na\n'''\n    return x\n"),
        ("    return 1\n# comment\n    return 2", "    return 1\n"),
        ("", "\n"),
    ],
)
def test_solutions_are_cut_at_the_first_top_level_line(solution, body):
    assert cut_body(solution) == body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no task"),
        (b"{", "line 1 is not JSON"),
        (b"[]", "line 1 is not a JSON object"),
        (b'{"prompt": "x", "entry_point": "f"}', "needs the field 'solutions'"),
        (b"\x1f\x8bnot gzip", "not a readable"),
    ],
)
def test_bad_recordings_are_named(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        load(path)


def test_recordings_may_lack_tests_and_check(tmp_path):
    path = tmp_path / "file.jsonl.gz"
    record = {"prompt": "def f(x):\n", "entry_point": "f", "solutions": ["    return x\n"]}
    path.write_bytes(gzip.compress(json.dumps(record).encode()))
    (task,) = load(path)
    assert task.programs == ("def f(x):\n    return x\n",)
    assert task.tests == ()
    assert task.check == ""


def test_a_recorded_test_continues_the_word_assert(tmp_path):
    path = tmp_path / "file.jsonl"
    record = {
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "solutions": ["    return x\n"],
        "tests": [" f(1) == 1"],
    }
    path.write_text(json.dumps(record))
    (task,) = load(path)
    assert [example.expected for example in from_asserts(task.tests[0], "f")] == [1]
