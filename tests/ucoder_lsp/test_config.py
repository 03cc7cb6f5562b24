"""The settings: precedence, and one sentence for every invalid value."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder_lsp import config
from ucoder_lsp.config import Settings, load


def test_precedence_rises_from_file_to_environment_to_flags(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("candidates = 2\nprobes = 3\nmax_tokens = 4\n")
    environment = {"UCODER_CONFIG": str(file), "UCODER_PROBES": "5", "UCODER_MAX_TOKENS": "6"}
    settings, problems = load({"max_tokens": "7"}, environment)
    assert (settings.candidates, settings.probes, settings.max_tokens) == (2, 5, 7)
    assert problems == []


def test_unknown_setting_names_the_nearest_one() -> None:
    settings, problems = Settings().overlay({"candidate": 3}, "the editor's settings")
    assert settings == Settings()
    assert problems == [
        "Unknown setting 'candidate' from the editor's settings is ignored: did you mean 'candidates'?"
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("candidates", 0, "not between 1 and 32"),
        ("candidates", "many", "not a whole number"),
        ("candidates", True, "not a number"),
        ("temperature", "nan", "not between"),
        ("temperature", "hot", "not a number"),
        ("execution", "maybe", "not true or false"),
        ("model", 7, "not text"),
        ("deadline_ms", [1], "not a number"),
    ],
)
def test_an_invalid_value_is_reported_and_the_default_stays(name: str, value: object, message: str) -> None:
    settings, problems = Settings().overlay({name: value}, "config.toml")
    assert getattr(settings, name) == getattr(Settings(), name)
    assert len(problems) == 1
    assert message in problems[0]
    assert name in problems[0]


def test_every_setting_named_in_a_message_exists() -> None:
    sources = (path.read_text() for path in Path(config.__file__).parent.rglob("*.py"))
    named = {
        name for text in sources for name in re.findall(r"\bset '?([\w.]+)'? to |etting '([\w.]+)'", text)
    }
    names = {first or second for first, second in named}
    assert "model" in names
    assert names <= {field.name for field in fields(Settings)}


def test_broken_file_is_reported_and_ignored(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("candidates = = 2")
    settings, problems = load({}, {"UCODER_CONFIG": str(file)})
    assert settings == Settings()
    assert str(file) in problems[0]


def test_paths_expand_the_home_directory() -> None:
    settings, _ = Settings().overlay({"cache_dir": "~/x"}, "flags")
    assert settings.cache_dir == Path.home() / "x"


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.floats() | st.text(max_size=5)))
def test_any_input_yields_settings_and_one_sentence_per_problem(values: dict[str, object]) -> None:
    settings, problems = Settings().overlay(values, "anywhere")
    assert isinstance(settings, Settings)
    assert len(problems) <= len(values)
    assert all(problem.endswith((".", "?")) for problem in problems)
