"""A check that this build of llama.cpp does not crash here.

    python -P -m ucoder_lsp.engine.self_test MODEL.gguf fast      # exit status 0: it works

A build can crash on one kind of CPU only. GCC 12 miscompiles llama.cpp's AMX kernels: `_tile_loadconfig` declares 8 of
the 64 bytes it reads, so the stores before it are dropped as dead. The process then dies by SIGSEGV at the first matrix
product, without a message or an exception. These kernels belong to llama.cpp's extra weight buffers, and without the
buffers it works (docs/decisions.md, "AMX kernels are built without dropping stores").
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 600
"""Longer than loading any model from a slow disk takes."""
# -P and a neutral current folder: a server may run in a workspace, whose files must not be imported as modules.
COMMAND = (sys.executable, "-P", "-m", "ucoder_lsp.engine.self_test")
NEUTRAL_FOLDER = "/"
REBUILD = (
    "CMAKE_ARGS=\"-DCMAKE_C_FLAGS='-fno-tree-dse -fno-dse' -DCMAKE_CXX_FLAGS='-fno-tree-dse -fno-dse'\" "
    "pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python==0.3.36"
)


@dataclass(frozen=True, slots=True)
class KernelCheck:
    """The way to load a model on this machine."""

    extra_buffers: bool
    """Whether llama.cpp may rearrange the weights for its fastest kernels."""
    signal: str | None = None
    """The signal that killed the child with the fastest kernels, such as SIGSEGV."""

    @property
    def warning(self) -> str | None:
        """One sentence for the user; None when the fastest kernels work."""
        if self.extra_buffers:
            return None
        return (
            f"This build of llama.cpp crashes on this CPU with its fastest kernels ({self.signal}), so slower ones "
            f"are used; to repair it, run: {REBUILD}"
        )


def check_kernels(model: Path, command: tuple[str, ...] = COMMAND) -> KernelCheck | None:
    """Decode a few tokens in a child process.

    The fastest kernels are tried first.

    Returns:
        How to load it; None when the child ended with an ordinary error, which loading will report.

    Raises:
        RuntimeError: it crashes with and without the fastest kernels.
    """
    killed = _killed_by(command, model, "fast")
    if killed == "":
        return KernelCheck(extra_buffers=True)
    if killed is None:
        return None
    without = _killed_by(command, model, "plain")
    if without == "":
        return KernelCheck(extra_buffers=False, signal=killed)
    raise RuntimeError(f"This build of llama.cpp crashes on this CPU ({killed}): rebuild it with {REBUILD}")


def _killed_by(command: tuple[str, ...], model: Path, how: str) -> str | None:
    """Return the signal that killed the child.

    "" if it succeeded, None if it ended with an error.
    """
    environment = os.environ | {"GGML_NO_BACKTRACE": "1"}  # else a crashing llama.cpp starts a debugger
    done = subprocess.run(
        [*command, str(model.absolute()), how],
        cwd=NEUTRAL_FOLDER,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        env=environment,
        check=False,
    )
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return "" if done.returncode == 0 else None


def _main() -> None:
    from ucoder_lsp.engine.context import Context, LoadedModel
    from ucoder_lsp.engine.threads import default_threads

    model = LoadedModel(Path(sys.argv[1]), extra_buffers=sys.argv[2] == "fast")
    context = Context(model, n_cells=64, n_seq=1, n_rows=1, n_batch=32, n_threads=default_threads())
    # Many rows and one row use different kernels.
    context.decode([1] * 32, range(32), [0] * 32, [False] * 31 + [True])
    context.decode([1], [32], [0], [True])
    context.logits(1)
    context.close()
    model.close()


if __name__ == "__main__":
    _main()
