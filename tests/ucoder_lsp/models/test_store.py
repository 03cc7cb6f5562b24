"""The store: a file counts only while its record fits it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.model_server import CONTENT, FILE, entry
from ucoder_lsp.models.catalogue import load_catalogue
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.prepare import embedded_model
from ucoder_lsp.models.store import (
    exclusive,
    installed,
    models_dir,
    own_files,
    record_of,
    record_verified,
    remove_model,
    resolve,
    unfinished_dir,
    verify,
)

ENTRY = entry()
ENTRIES = {"small": ENTRY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The installed model."""
    path = models_dir(tmp_path) / FILE
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    record_verified(path, ENTRY.sha256, "a test")
    return path


def test_an_installed_model_is_found_by_name(tmp_path: Path, path: Path) -> None:
    assert installed(ENTRIES, tmp_path) == {"small": path}
    assert resolve("small", ENTRIES, tmp_path) == path


def test_the_carried_model_is_always_here(tmp_path: Path) -> None:
    entries = load_catalogue(tmp_path)[0]
    assert installed(entries, tmp_path) == {"smollm2-135m": embedded_model()}
    assert (
        resolve("smollm2-135m", entries, tmp_path)
        == resolve("embedded", entries, tmp_path)
        == embedded_model()
    )


def test_without_its_package_the_carried_model_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed(load_catalogue(tmp_path)[0], tmp_path) == {}


def change_content(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(0, 0))  # clocks are coarse: two writes may have one time


def cut_short(path: Path) -> None:
    path.write_bytes(CONTENT[:-1])


def lose_the_record(path: Path) -> None:
    record_of(path).unlink()


def damage_the_record(path: Path) -> None:
    record_of(path).write_text("{")


def record_another_hash(path: Path) -> None:
    record_verified(path, "0" * 64, "a test")


@pytest.mark.parametrize(
    "damage",
    [change_content, cut_short, lose_the_record, damage_the_record, record_another_hash, Path.unlink],
)
def test_a_file_that_does_not_fit_its_record_is_not_used(tmp_path: Path, path: Path, damage: object) -> None:
    assert callable(damage)
    damage(path)
    assert installed(ENTRIES, tmp_path) == {}
    with pytest.raises(ModelError, match="not on this machine: run `ucoder models get small`"):
        resolve("small", ENTRIES, tmp_path)


def test_verify_records_the_published_file(tmp_path: Path, path: Path) -> None:
    lose_the_record(path)
    verify(ENTRY, tmp_path)
    assert installed(ENTRIES, tmp_path) == {"small": path}


def test_verify_finds_a_changed_file_behind_a_fitting_record(tmp_path: Path, path: Path) -> None:
    times = path.stat()
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert installed(ENTRIES, tmp_path) == {"small": path}, "this costs a hash to notice"
    with pytest.raises(
        ModelError, match=r"is not the published file .*: run `ucoder models remove small`, then"
    ):
        verify(ENTRY, tmp_path)
    assert installed(ENTRIES, tmp_path) == {}


def test_verify_of_what_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not on this machine: run `ucoder models get small`"):
        verify(ENTRY, tmp_path)


def test_resolve_takes_paths_and_explains_wrong_names(tmp_path: Path, path: Path) -> None:
    assert resolve(str(path), ENTRIES, tmp_path) == path
    with pytest.raises(
        ModelError, match="There is no model named 'smal': `ucoder models list` shows the names"
    ):
        resolve("smal", ENTRIES, tmp_path)
    with pytest.raises(ModelError, match="There is no model file at"):
        resolve(str(tmp_path / "none.gguf"), ENTRIES, tmp_path)
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        resolve(str(tmp_path / "page.gguf"), ENTRIES, tmp_path)


def test_own_files_are_those_that_no_entry_names(tmp_path: Path, path: Path) -> None:
    for name in ("mine.gguf", ".hidden.gguf", "notes.txt"):
        path.with_name(name).write_text("x")
    path.with_name("folder.gguf").mkdir()
    assert [file.name for file in own_files(ENTRIES, tmp_path)] == ["mine.gguf"]


def test_remove_deletes_the_file_the_leftovers_and_the_prepared_variants(tmp_path: Path, path: Path) -> None:
    cache = tmp_path / "cache"
    variants = cache / "models"
    variants.mkdir(parents=True)
    for name in (
        f"small-{ENTRY.sha256[:12]}-q8_0.gguf",
        f"small-{ENTRY.sha256[:12]}-q8_0.json",
        "other-0-q8_0.gguf",
    ):
        (variants / name).write_bytes(b"x" * 1000)
    unfinished_dir(ENTRY, tmp_path).mkdir()
    (unfinished_dir(ENTRY, tmp_path) / "url.part").write_bytes(b"x" * 500)
    record_size = record_of(path).stat().st_size
    assert remove_model("small", ENTRIES, tmp_path, cache) == len(CONTENT) + record_size + 2500
    assert [file.name for file in variants.iterdir()] == ["other-0-q8_0.gguf"]
    assert [file.name for file in models_dir(tmp_path).iterdir()] == [".small.lock"]
    with pytest.raises(ModelError, match="not on this machine: nothing was removed"):
        remove_model("small", ENTRIES, tmp_path, cache)


def test_remove_takes_the_users_own_file_and_no_other_path(tmp_path: Path, path: Path) -> None:
    path.with_name("mine.gguf").write_bytes(b"GGUF")
    (tmp_path / "outside.gguf").write_bytes(b"GGUF")
    assert remove_model("mine.gguf", ENTRIES, tmp_path, tmp_path / "cache") == 4
    for name in ("mine.gguf", "../outside.gguf", str(tmp_path / "outside.gguf"), "", "*"):
        with pytest.raises(ModelError, match="There is no model"):
            remove_model(name, ENTRIES, tmp_path, tmp_path / "cache")
    assert path.exists()


@pytest.mark.parametrize("name", ["embedded", "smollm2-135m"])
def test_the_carried_model_is_not_removed(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="comes with the installation and cannot be removed"):
        remove_model(name, load_catalogue(tmp_path)[0], tmp_path, tmp_path / "cache")
    assert embedded_model().exists()


def test_a_model_that_is_being_fetched_is_not_removed(tmp_path: Path, path: Path) -> None:
    with (
        exclusive(ENTRY, tmp_path, lambda: None),
        pytest.raises(ModelError, match="Another process fetches small: stop it first"),
    ):
        remove_model("small", ENTRIES, tmp_path, tmp_path / "cache")
    assert path.exists()
