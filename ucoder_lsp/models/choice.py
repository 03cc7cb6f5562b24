"""The choice of the served model: the line `model = "..."` of the user's config.toml.

Everything else of the file stays as it is, comments too.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

from ucoder_lsp.engine.self_test import COMMAND, NEUTRAL_FOLDER, TIMEOUT_S
from ucoder_lsp.files import write_atomically
from ucoder_lsp.models.errors import ModelError


def write_choice(config: Path, model: str) -> None:
    """Set 'model' in the configuration file, which is created when missing.

    Raises:
        ModelError: the file is not valid TOML, or cannot be written; nothing is changed.
    """
    import tomlkit  # here because only this command needs it

    by_hand = f'mend it, or write the line model = "{model}" into it yourself'
    target = config.resolve()  # a link to a file elsewhere stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # As bytes, so that the line ends stay as they are.
        text = target.read_bytes().decode("utf-8") if target.exists() else ""
        before = tomllib.loads(text)
        document = tomlkit.parse(text)
        document["model"] = model
        changed = tomlkit.dumps(document)
        # A table [model] would lose what it holds.
        if not isinstance(before.get("model", ""), str) or tomllib.loads(changed) != before | {
            "model": model
        }:
            raise ModelError(f"{config} cannot be changed without changing other settings: {by_hand}.")
        mode = target.stat().st_mode if target.exists() else None
        write_atomically(target, changed)
        if mode is not None:
            os.chmod(target, mode)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{config} is not valid TOML ({error}): {by_hand}.") from error
    except OSError as error:
        raise ModelError(
            f"{config} cannot be written ({error.strerror or error}): make it writable, or name another file in "
            "the environment variable UCODER_CONFIG."
        ) from error


def check_loads(path: Path) -> None:
    """Load a file in a child process, which a damaged or unknown file may crash.

    Raises:
        ModelError: this build of llama.cpp cannot load it; one sentence with llama.cpp's reason.
    """
    try:
        done = subprocess.run(
            [*COMMAND, str(path.absolute()), "plain"],
            cwd=NEUTRAL_FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            env=os.environ | {"GGML_NO_BACKTRACE": "1"},  # else a crashing llama.cpp starts a debugger
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path} did not load within {TIMEOUT_S} s: choose a smaller model.") from None
    if done.returncode == 0:
        return
    last = done.stderr.strip().rpartition("\n")[2]
    kind, _, sentence = last.partition(": ")
    if kind.startswith("ucoder_lsp.engine.errors."):
        raise ModelError(sentence)
    reason = f"it dies by signal {-done.returncode}" if done.returncode < 0 else last or "no reason given"
    raise ModelError(f"llama.cpp cannot load {path} ({reason}): choose another GGUF file of a decoder model.")
