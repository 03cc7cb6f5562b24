"""Fitting and calibration on made-up problems with a known answer; reading recorded files."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.calibration import Row, expected_calibration_error, fit, fit_weights, isotonic, shipped, task_key
from sandbox.evaluation import RuleResult, bootstrap_difference
from sandbox.inputs.examples import from_asserts
from sandbox.replay import RecordingError, cut_body, load
from sandbox.rules.features import NAMES


def rows(n: int) -> list[Row]:
    """Problems in which the first feature decides with some noise and the second says nothing."""
    generator = np.random.default_rng(0)
    found = []
    for i in range(n):
        features = generator.normal(size=(6, 2))
        right = np.zeros(6)
        right[(features[:, 0] + 0.3 * generator.normal(size=6)).argmax()] = 1.0
        found.append(Row(task_key(f"task {i}"), features, right, 1.0))
    return found


def test_fit_finds_the_feature_that_decides():
    decisive, noise = fit_weights(rows(80))
    assert decisive > 1.0
    assert abs(noise) < 0.3 * decisive


def test_fitted_folds_never_saw_their_tasks():
    data = rows(40)
    fitted = fit(data, [row.task for row in data])
    for fold in range(len(fitted.folds)):
        others = [row for row in data if dict(fitted.seen)[row.task] != fold]
        assert fitted.folds[fold].weights == fit_weights(others)


def test_shipped_parameters_fit_the_features():
    for parameters in (shipped().everything, *shipped().folds):
        assert len(parameters.weights) == len(NAMES)
        assert list(parameters.raw) == sorted(parameters.raw)
        assert list(parameters.calibrated) == sorted(parameters.calibrated)
        assert 0.0 <= parameters.confidence(0.0) <= parameters.confidence(1.0) <= 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_isotonic_curve_never_falls_and_stays_in_range(points):
    raw, right = np.array([p[0] for p in points]), np.array([float(p[1]) for p in points])
    xs, ys = isotonic(raw, right, np.ones(len(points)))
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert 0.0 <= ys[0] <= ys[-1] <= 1.0


def test_calibration_error_of_a_sure_and_wrong_rule_is_one():
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
