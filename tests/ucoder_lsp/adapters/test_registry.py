"""The registry of adapters: complete versions or none, serving, rollback."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ucoder_lsp.adapters.damage import BASE, DAMAGES, damage
from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry, bases


def events(registry: AdapterRegistry) -> list[str]:
    """Return the kinds of all changes recorded in current.json, oldest first."""
    current = json.loads((registry.folder / "current.json").read_text())
    return [event["what"] for event in current["events"]]


def test_a_published_version_records_its_origin(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], adapter_file: Path, tmp_path: Path
) -> None:
    peft = tmp_path / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_text("{}")
    first = publish()
    second = publish(peft=peft, parents=[first.version])
    assert registry.current() == second
    assert registry.versions() == [first, second]
    assert second.path.read_bytes() == adapter_file.read_bytes()
    assert second.manifest.parents == (first.version,)
    assert second.manifest.metrics == {"pass@1": 0.25}
    assert set(second.manifest.files) == {"adapter.gguf", "peft/adapter_config.json"}
    assert first.identity != second.identity
    assert bases(registry.root) == [BASE]
    second.verify()


def test_an_empty_registry_serves_the_base_model(registry: AdapterRegistry) -> None:
    assert registry.current() is None
    assert registry.versions() == []
    assert not registry.root.exists(), "reading writes nothing"


def test_rollback_walks_back_through_served_versions(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    first, second = publish(), publish()
    third = publish(activate=False)
    assert registry.current() == second
    registry.use(third.version)
    registry.use(None)
    assert registry.current() is None
    assert registry.rollback() == third.version
    assert registry.rollback() == second.version
    assert registry.rollback() == first.version
    assert registry.current() == first
    assert registry.rollback() is None
    with pytest.raises(AdapterError, match="nothing to roll back to"):
        registry.rollback()
    assert events(registry) == ["publish"] * 2 + ["use"] * 2 + ["rollback"] * 4
    assert len(registry.versions()) == 3


def test_another_process_sees_the_change_at_once(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    reader = AdapterRegistry(registry.root, BASE)
    assert reader.current() is None
    first = publish()
    assert reader.current() == first
    second = publish()
    assert reader.current() == second
    registry.rollback()
    assert reader.current() == first


def test_an_unchanged_version_is_hashed_once(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    registry.current()
    monkeypatch.setattr("ucoder_lsp.adapters.manifest.file_sha256", lambda path: pytest.fail("hashed again"))
    assert registry.current() is not None


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_adapter_is_one_clear_sentence_and_rollback_repairs_it(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], how: str
) -> None:
    good, bad = publish(), publish()
    damage(bad, how)
    reader = AdapterRegistry(registry.root, BASE)
    with pytest.raises(AdapterError, match=r"rollback|publish the adapter again|adapters list") as caught:
        reader.current()
    assert "\n" not in str(caught.value)
    with pytest.raises(AdapterError):
        reader.use(bad.version)
    assert reader.rollback() == good.version
    assert reader.current() == good


@pytest.mark.parametrize("how", DAMAGES)
def test_rollback_skips_damaged_versions(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], how: str
) -> None:
    first, second, third = publish(), publish(), publish()
    damage(second, how)
    damage(third, how)
    assert registry.rollback() == first.version
    damage(first, how)
    assert registry.rollback() is None
    assert registry.current() is None
    with pytest.raises(AdapterError, match="nothing to roll back to"):
        registry.rollback()


def test_a_damaged_version_that_is_not_served_hides_no_other(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    old, new = publish(), publish()
    damage(old, "manifest")
    assert registry.versions() == [new]
    assert registry.names() == [old.version, new.version]
    assert bases(registry.root) == [BASE]
    assert registry.current() == new


def test_a_damaged_adapter_is_checked_once_per_change(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = publish()
    whole = bad.path.read_bytes()
    damage(bad, "bit")
    with pytest.raises(AdapterError, match="damaged") as first:
        registry.current()
    with monkeypatch.context() as patch:
        patch.setattr("ucoder_lsp.adapters.manifest.file_sha256", lambda path: pytest.fail("hashed again"))
        with pytest.raises(AdapterError) as second:
            registry.current()
    assert str(second.value) == str(first.value)
    bad.path.write_bytes(whole)
    registry.use(bad.version)  # repaired, and served again
    assert registry.current() == bad
    assert registry.rollback() is None, "a version used twice was served once"


def test_an_adapter_of_another_base_is_refused(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion]
) -> None:
    version = publish()
    manifest = json.loads((version.folder / "manifest.json").read_text())
    manifest["base_sha256"] = "cd" * 32
    (version.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AdapterError, match="made for another base model"):
        AdapterRegistry(registry.root, BASE).current()


@pytest.mark.parametrize("name", ["../evil", "..", "", ".lock", "0009-none", "a/b"])
def test_a_version_is_a_name_and_not_a_path(
    registry: AdapterRegistry, publish: Callable[..., AdapterVersion], name: str
) -> None:
    publish()
    with pytest.raises(AdapterError, match="There is no adapter"):
        registry.use(name)


def test_a_file_that_is_not_an_adapter_is_refused(registry: AdapterRegistry, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_text("no")
    for path, message in ((wrong, "not a GGUF"), (tmp_path / "none.gguf", "cannot be read")):
        with pytest.raises(AdapterError, match=message):
            registry.publish(path, base_name="b", training_run="r", metrics={})
    assert registry.versions() == []


@pytest.mark.parametrize("place", ["copyfile", "fsync", "rename", "replace", "mkdir"])
def test_a_full_disk_changes_nothing(
    registry: AdapterRegistry,
    publish: Callable[..., AdapterVersion],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    first = publish()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = {"copyfile": shutil, "mkdir": Path}.get(place, os)
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, full)
        with pytest.raises(AdapterError, match=r"No space left on device.*free some space.*has not changed"):
            publish()
    reader = AdapterRegistry(registry.root, BASE)
    assert reader.current() == first
    for version in reader.versions():
        version.verify()  # at most a complete version that is not served
    assert not [p for p in registry.folder.iterdir() if p.name.endswith(".part")]
    assert publish().version > first.version


def test_a_killed_publication_leaves_only_complete_versions(tmp_path: Path, adapter_file: Path) -> None:
    """After SIGKILL at any point a reader sees complete versions.

    The next publication removes the remains.
    """
    root = tmp_path / "adapters"
    code = f"""
        import sys
        from pathlib import Path
        from ucoder_lsp.adapters.registry import AdapterRegistry
        registry = AdapterRegistry(Path({str(root)!r}), {BASE!r})
        print("ready", flush=True)
        while True:
            registry.publish(Path({str(adapter_file)!r}), base_name="b", training_run="r", metrics={{}})
            print("published", flush=True)
    """
    for extra in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(2 + 3 * extra):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        registry = AdapterRegistry(root, BASE)
        versions = registry.versions()
        assert versions
        assert registry.current() is not None
        for version in versions:
            version.verify()
    registry.publish(adapter_file, base_name="b", training_run="r", metrics={})
    assert not list(registry.folder.glob(".*.part"))


def test_remains_of_a_killed_publication_are_removed_files_and_folders(
    registry: AdapterRegistry, adapter_file: Path
) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    registry.folder.mkdir(parents=True)
    (registry.folder / f".current.json.{gone}.part").write_text("{")
    (registry.folder / f".0001-abc.{gone}.part").mkdir()
    (registry.folder / f".0001-abc.{gone}.part" / "adapter.gguf").write_text("")
    registry.publish(adapter_file, base_name="b", training_run="r", metrics={})
    assert not list(registry.folder.glob(".*.part"))


def test_publishers_at_the_same_time_each_get_a_version(
    registry: AdapterRegistry, adapter_file: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from ucoder_lsp.adapters.registry import AdapterRegistry\n"
        "for _ in range(5): AdapterRegistry(Path(sys.argv[1]), sys.argv[2]).publish("
        "Path(sys.argv[3]), base_name='b', training_run='r', metrics={})"
    )
    arguments = [sys.executable, "-c", code, str(registry.root), BASE, str(adapter_file)]
    processes = [subprocess.Popen(arguments) for _ in range(3)]
    assert [p.wait() for p in processes] == [0, 0, 0]
    assert [v.version[:4] for v in registry.versions()] == [f"{n:04d}" for n in range(1, 16)]
    assert len(events(registry)) == 15


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_any_content_of_the_files_is_a_version_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, adapter_file: Path, data: st.DataObject
) -> None:
    """Fuzz manifest.json and current.json: fields replaced or removed, bytes cut."""
    root = tmp_path_factory.mktemp("fuzz")
    published = AdapterRegistry(root, BASE).publish(
        adapter_file, base_name="b", training_run="r", metrics={"m": 1.0}
    )
    path = data.draw(
        st.sampled_from([published.folder / "manifest.json", published.folder.parent / "current.json"])
    )
    content = json.loads(path.read_text())
    key = data.draw(st.sampled_from(sorted(content)))
    change = data.draw(st.sampled_from(["replace", "remove", "cut", "bytes", "whole"]))
    if change == "replace":
        content[key] = data.draw(JSON)
    elif change == "remove":
        del content[key]
    elif change == "whole":
        content = data.draw(JSON)
    text = json.dumps(content).encode()
    if change == "cut":
        text = text[: data.draw(st.integers(0, len(text)))]
    elif change == "bytes":
        text = data.draw(st.binary(max_size=30))
    path.write_bytes(text)
    reader = AdapterRegistry(root, BASE)
    for read in (reader.current, reader.versions, lambda: bases(root), reader.rollback):
        try:
            read()
        except AdapterError as error:
            assert "\n" not in str(error)  # noqa: PT017  an error is allowed, not required
