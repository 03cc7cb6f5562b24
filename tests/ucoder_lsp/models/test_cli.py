"""The commands below `ucoder models`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import gguf
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.model_server import CONTENT, FILE, models_toml
from ucoder_lsp.models.choice import write_choice
from ucoder_lsp.models.cli import models
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.store import models_dir


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file, which does not exist yet; the small model is beside it."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "models.toml").write_text(models_toml())
    monkeypatch.setenv("UCODER_CONFIG", str(folder / "config.toml"))
    monkeypatch.setenv("UCODER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UCODER_CACHE_DIR", str(tmp_path / "cache"))
    return folder / "config.toml"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(models, arguments)


@pytest.fixture
def small(config: Path, tmp_path: Path) -> Path:
    """The small model, fetched from a file."""
    (tmp_path / "given.gguf").write_bytes(CONTENT)
    result = call("get", "small", "--no-measure", "--from", str(tmp_path / "given.gguf"))
    assert result.exit_code == 0, result.output
    assert "To serve it" not in result.stderr, "auto may serve it"
    return models_dir(tmp_path / "data") / FILE


# list


def test_the_list_shows_what_is_here_and_in_use(small: Path) -> None:
    small.with_name("mine.gguf").write_bytes(b"GGUF" * 250_000)
    *table, in_use = call("list").stdout.splitlines()
    lines = {line[3:].split()[0]: line for line in table}
    assert list(lines) == [
        "name",
        "smollm2-135m",
        "qwen2.5-coder-0.5b",
        "qwen2.5-coder-1.5b",
        "small",
        "mine.gguf",
    ]
    assert lines["qwen2.5-coder-0.5b"].split()[1:5] == ["491", "MB", "Apache-2.0", "no"]
    assert lines["small"].split()[1:5] == ["0", "MB", "MIT", "yes"]
    assert lines["mine.gguf"].split()[1:4] == ["1", "MB", "yes"]
    assert all("not measured" in line for name, line in lines.items() if name != "name")
    assert lines["smollm2-135m"].startswith("*"), "auto serves it"
    assert in_use.startswith("In use: smollm2-135m. ")


@pytest.mark.parametrize(
    ("model", "star"),
    [("embedded", "smollm2-135m"), ("smollm2-135m", "smollm2-135m"), ("small", "small"), ("{path}", "small")],
)
def test_a_star_marks_what_the_setting_names(small: Path, config: Path, model: str, star: str) -> None:
    config.write_text(f"model = '{model.format(path=small)}'\n")
    starred = [line.split()[1] for line in call("list").stdout.splitlines() if line.startswith("*")]
    assert starred == [star]


def test_a_model_outside_the_list_is_named_below_it(config: Path) -> None:
    config.write_text("model = '/elsewhere/[bold]/model.gguf'\n")
    assert (
        "\nIn use: not usable: There is no model file at /elsewhere/[bold]/model.gguf: "
        in call("list").stdout
    )


def test_a_changed_file_is_listed_as_not_verified(small: Path) -> None:
    small.write_bytes(CONTENT[:-1])
    listed = {each["name"]: each for each in json.loads(call("list", "--json").stdout)["models"]}
    assert listed["small"]["here"] == "not verified"


def test_the_list_as_json(small: Path) -> None:
    found = json.loads(call("list", "--json").stdout)
    assert [each["name"] for each in found["models"]][-1] == "small"
    assert found["models"][-1] == {
        "name": "small",
        "bytes": len(CONTENT),
        "licence": "MIT",
        "here": "yes",
        "in_use": False,
        "speed": "not measured",
        "in_time": "not measured",
        "path": str(small),
    }


def test_a_broken_models_file_is_reported_and_the_list_works(config: Path) -> None:
    config.with_name("models.toml").write_text("[models")
    result = call("list")
    assert result.exit_code == 0
    assert "models.toml cannot be read and is ignored" in result.stderr
    assert "smollm2-135m" in result.stdout


# get


def test_an_unknown_name_gets_a_hint(config: Path) -> None:
    result = call("get", "qwen2.5-coder-0.5")
    assert result.exit_code == 1
    assert (
        result.stderr
        == "Error: The catalogue has no model 'qwen2.5-coder-0.5': did you mean qwen2.5-coder-0.5b?\n"
    )
    assert "the names are smollm2-135m, " in call("get", "xyz").stderr


def test_the_carried_model_needs_no_download(config: Path) -> None:
    assert call("get", "smollm2-135m").stdout.startswith("smollm2-135m comes with the installation: ")


def test_a_log_gets_plain_lines(config: Path, tmp_path: Path) -> None:
    (tmp_path / "given.gguf").write_bytes(CONTENT)
    lines = call("get", "small", "--no-measure", "--from", str(tmp_path / "given.gguf")).stderr.splitlines()
    assert lines[:2] == ["Copying small (0 MB)", "Verifying small (0 MB)"]


# use


@pytest.mark.parametrize(
    ("argument", "written"),
    [("small", "small"), ("auto", "auto"), ("smollm2-135m", "embedded"), ("embedded", "embedded")],
)
def test_use_writes_the_setting(small: Path, config: Path, argument: str, written: str) -> None:
    result = call("use", argument, "--no-measure")
    assert result.exit_code == 0, result.output
    assert tomllib.loads(config.read_text()) == {"model": written}
    assert result.stdout.startswith("From its next start on, the server serves ")


def test_use_of_a_file_loads_it_once_and_writes_its_whole_path(
    config: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    result = call("use", tiny_model.name, "--no-measure")
    assert result.exit_code == 0, result.output
    assert tomllib.loads(config.read_text()) == {"model": str(tiny_model)}


def test_use_of_an_own_file_in_the_store(config: Path, data: Path, tiny_model: Path) -> None:
    models_dir(data).mkdir(parents=True)
    own = models_dir(data) / "mine.gguf"
    own.write_bytes(tiny_model.read_bytes())
    assert call("use", "mine.gguf", "--no-measure").exit_code == 0
    assert tomllib.loads(config.read_text()) == {"model": str(own)}


def unknown_architecture(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "perceptron-9000")
    writer.add_name("x")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def cut_file(path: Path) -> None:
    path.write_bytes(b"GGUF\x03\x00\x00\x00")


def web_page(path: Path) -> None:
    path.write_text("<html>")


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (unknown_architecture, "unknown model architecture: 'perceptron-9000'"),
        (cut_file, "llama.cpp cannot load "),
        (web_page, "is not a GGUF file"),
        (nothing, "There is no model file at"),
    ],
)
def test_use_of_a_file_that_cannot_be_served_changes_nothing(
    config: Path, tmp_path: Path, make: object, problem: str
) -> None:
    assert callable(make)
    path = tmp_path / "strange.gguf"
    make(path)
    config.write_text("candidates = 3\n")
    result = call("use", str(path))
    assert result.exit_code == 1
    assert problem in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert config.read_text() == "candidates = 3\n"


def test_use_of_a_model_that_is_not_here_says_how_to_get_it(config: Path) -> None:
    result = call("use", "qwen2.5-coder-0.5b")
    assert "not on this machine: run `ucoder models get qwen2.5-coder-0.5b`" in result.stderr
    assert not config.exists()


def test_use_names_the_variable_that_overrides_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCODER_MODEL", "other.gguf")
    assert "UCODER_MODEL=other.gguf is set and overrides it" in call("use", "auto").stderr


WRITTEN = """# my settings
candidates = 3   # enough
"model" = "old"  # the model

[a]  # a table
x = [
  1, # one
]
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_rest_of_the_file_stays_byte_for_byte(tmp_path: Path, end: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(WRITTEN.replace("\n", end).encode())
    file.chmod(0o600)
    write_choice(file, 'a "strange" \\ path/é.gguf')
    before, after = WRITTEN.replace("\n", end).split(end), file.read_bytes().decode().split(end)
    assert [line for line in after if line not in before] == [
        '"model" = "a \\"strange\\" \\\\ path/é.gguf"  # the model'
    ]
    assert len(after) == len(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "real.toml").write_text("candidates = 3\n")
    (tmp_path / "config.toml").symlink_to(tmp_path / "dotfiles" / "real.toml")
    write_choice(tmp_path / "config.toml", "auto")
    assert (tmp_path / "config.toml").is_symlink()
    assert (tmp_path / "dotfiles" / "real.toml").read_text() == 'candidates = 3\nmodel = "auto"\n'


@pytest.mark.parametrize("content", [b"candidates = ", b"\xff", b"\xef\xbb\xbfcandidates = 3"])
def test_a_broken_configuration_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(
        ModelError, match=r'is not valid TOML .*: mend it, or write the line model = "auto" into it'
    ):
        write_choice(file, "auto")
    assert file.read_bytes() == content


KEYS = st.sampled_from(["model", "a", "b.c", '"model"', "'x y'"])
LINES = st.one_of(
    st.builds(
        "{} = {}".format,
        KEYS,
        st.sampled_from(["1", '"x"', "[1, 2]", "{ q = 1 }", "'''\nm\n'''", "1979-05-27"]),
    ),
    st.builds("[{}]".format, KEYS),
    st.builds("[[{}]]".format, KEYS),
    st.sampled_from(["", "# a comment", "   # indented"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=8).map("\n".join))
def test_any_file_keeps_its_other_settings_or_stays_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    try:
        write_choice(file, "auto")
    except ModelError:
        assert file.read_text() == text
        return
    assert tomllib.loads(file.read_text()) == tomllib.loads(text) | {"model": "auto"}
    comments = [line for line in text.splitlines() if "#" in line]
    assert [line for line in file.read_text().splitlines() if "#" in line] == comments


# verify and remove


def test_verify_says_what_is_intact_and_fails_for_a_damaged_file(small: Path) -> None:
    assert call("verify").stdout == "smollm2-135m: intact\nsmall: intact\n"
    small.write_bytes(CONTENT[:-1] + b"x")
    result = call("verify", "small")
    assert result.exit_code == 1
    assert "is not the published file" in result.stderr
    assert call("verify", "smollm2-135m").exit_code == 0
    assert "did you mean small" in call("verify", "smal").stderr


def test_remove_says_what_was_freed_and_what_the_setting_names(small: Path, config: Path) -> None:
    config.write_text('model = "small"\n')
    result = call("remove", "small")
    assert result.stdout == "Removed small: 0 MB freed.\n"
    assert "still names it: run `ucoder models use auto`" in result.stderr
    assert not small.exists()
    assert "cannot be removed" in call("remove", "smollm2-135m").stderr


def test_a_fetched_file_replaces_the_one_that_was_damaged(small: Path, tmp_path: Path) -> None:
    small.write_bytes(CONTENT[:-1] + b"x")
    assert call("get", "small", "--no-measure", "--from", str(tmp_path / "given.gguf")).exit_code == 0
    assert call("verify", "small").exit_code == 0


def test_the_server_starts_without_the_libraries_of_the_download() -> None:
    """Neither the server nor the list of models imports them."""
    program = (
        "import sys, ucoder_lsp.server.server, ucoder_lsp.models.cli, ucoder_lsp.models.store\n"
        "print([name for name in ('huggingface_hub', 'httpx2', 'tomlkit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
