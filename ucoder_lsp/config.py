"""The configuration of the server, read in one place.

Its sources, in rising precedence, are the TOML file, the environment and the flags; the server adds the editor's
settings. Every setting has a default that works. An unknown setting or an invalid value never stops the server. It is
reported in one sentence with the correction, and the value of the next lower precedence stays.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import platformdirs

ENVIRONMENT_PREFIX = "UCODER_"
NOT_SETTINGS = ("UCODER_CONFIG", "UCODER_MODELS_MIRROR")
"""Variables with the prefix that are read elsewhere."""
AUTO = "auto"
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the server.

    The field metadata holds the help text and the allowed range of each.
    """

    model: str = field(
        default=AUTO,
        metadata={
            "help": "Model to serve: 'auto' (the largest one here that answers in time), 'embedded', a name of "
            "`ucoder models list`, or the path of a GGUF file."
        },
    )
    candidates: int = field(
        default=8, metadata={"help": "Number of candidates sampled per completion.", "range": (1, 32)}
    )
    max_tokens: int = field(
        default=256, metadata={"help": "Maximum length of a candidate, in tokens.", "range": (1, 1024)}
    )
    temperature: float = field(
        default=0.6,
        metadata={
            "help": "Sampling temperature; 0 always picks the most probable token.",
            "range": (0.0, 2.0),
        },
    )
    context_tokens: int = field(
        default=1536, metadata={"help": "Maximum length of the prompt, in tokens.", "range": (64, 32768)}
    )
    deadline_ms: int = field(
        default=5000,
        metadata={
            "help": "Time limit for sampling, in ms; the best completion so far is used.",
            "range": (50, 60000),
        },
    )
    execution: bool = field(
        default=True,
        metadata={"help": "true runs candidates in the sandbox; false ranks them without running anything."},
    )
    probes: int = field(
        default=16,
        metadata={"help": "Number of probe inputs: arguments that candidates are run on.", "range": (1, 256)},
    )
    python: str = field(
        default="",
        metadata={"help": "Python interpreter that runs the candidates; empty means the server's own."},
    )
    threads: int = field(
        default=0,
        metadata={"help": "Number of CPU threads for the model; 0 means one per core.", "range": (0, 256)},
    )
    cache_dir: Path = field(
        default_factory=lambda: platformdirs.user_cache_path("ucoder", appauthor=False),
        metadata={"help": "Folder for prepared models; it may be deleted at any time."},
    )
    data_dir: Path = field(
        default_factory=lambda: platformdirs.user_data_path("ucoder", appauthor=False),
        metadata={"help": "Folder for adapters and training runs."},
    )

    def overlay(self, values: Mapping[str, object], source: str) -> tuple[Settings, list[str]]:
        """Return these settings with `values` on top, and the problems.

        There is one sentence per value that cannot be used.
        """
        accepted: dict[str, object] = {}
        problems: list[str] = []
        known = {f.name: f for f in fields(self)}
        for key, raw in values.items():
            name = key.replace("-", "_")
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"the settings are {', '.join(known)}."
                problems.append(f"Unknown setting '{key}' from {source} is ignored: {hint}")
                continue
            try:
                accepted[name] = _convert(getattr(self, name), raw)
                _check_range(accepted[name], known[name].metadata.get("range"))
            except ValueError as error:
                accepted.pop(name, None)
                problems.append(
                    f"Setting '{key}' from {source} is ignored: {error}; using {getattr(self, name)!r}."
                )
        return replace(self, **accepted), problems  # type: ignore[arg-type]  # converted above, by field


def _convert(current: object, raw: object) -> object:
    """Convert `raw` to the type of the setting's current value.

    Text is accepted for every type, as the environment and flags give it.
    """
    if isinstance(current, bool):
        if isinstance(raw, bool):
            return raw
        words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False}
        words |= {"no": False, "off": False}
        if str(raw).lower() in words:
            return words[str(raw).lower()]
        raise ValueError(f"{raw!r} is not true or false")
    if isinstance(current, int | float):
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise ValueError(f"{raw!r} is not a number")
        try:
            return type(current)(raw)
        except (ValueError, OverflowError):
            kind = "a whole number" if isinstance(current, int) else "a number"
            raise ValueError(f"{raw!r} is not {kind}") from None
    if not isinstance(raw, str | Path):
        raise ValueError(f"{raw!r} is not text")
    return Path(raw).expanduser() if isinstance(current, Path) else str(raw)


def _check_range(value: object, allowed: tuple[float, float] | None) -> None:
    if allowed is not None and isinstance(value, int | float):
        low, high = allowed
        if not low <= value <= high:  # also false for NaN
            raise ValueError(f"{value!r} is not between {low} and {high}")


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the path of the TOML file.

    It is `$UCODER_CONFIG`, else `config.toml` in the platform's configuration directory.
    """
    given = environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    return (
        Path(given).expanduser()
        if given
        else platformdirs.user_config_path("ucoder", appauthor=False) / "config.toml"
    )


def load(
    flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, list[str]]:
    """Return the settings of this process, and the problems.

    There is one sentence per value that cannot be used. `flags` holds only the flags that are on the command line.
    """
    environment = os.environ if environment is None else environment
    problems: list[str] = []
    settings = Settings()

    path = config_path(environment)
    settings, found = settings.overlay(_read_toml(path, problems), str(path))
    problems += found

    own = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
    }
    settings, found = settings.overlay(own, "the environment (UCODER_*)")
    problems += found

    settings, found = settings.overlay(flags or {}, "the command line")
    return settings, problems + found


def _read_toml(path: Path, problems: list[str]) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"The configuration file {path} cannot be read and is ignored: {error}.")
        return {}
