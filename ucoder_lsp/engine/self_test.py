"""Does llama.cpp, as it was built here, survive its fastest kernels on this CPU? Asked in a child process.

    python -P -m ucoder_lsp.engine.self_test MODEL.gguf fast      # exit status 0: it does

Why: a build can crash for one CPU only. GCC 12 miscompiles llama.cpp's AMX kernels (`_tile_loadconfig` names 8 of the
64 bytes it reads, so the stores before it are dropped as dead), and the process dies by SIGSEGV at the first matrix
product: no message, no exception. The kernels in question live in llama.cpp's extra weight buffers; without them it
works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 600
"""Longer than any model takes to load from a slow disk."""
# -P, and a current folder of nobody's: that of a server may be a workspace, whose files must not stand for our modules.
COMMAND = (sys.executable, "-P", "-m", "ucoder_lsp.engine.self_test")
NOBODYS_FOLDER = "/"
REBUILD = (
    "CMAKE_ARGS=\"-DCMAKE_C_FLAGS='-fno-tree-dse -fno-dse' -DCMAKE_CXX_FLAGS='-fno-tree-dse -fno-dse'\" "
    "pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python==0.3.36"
)


@dataclass(frozen=True, slots=True)
class KernelCheck:
    """How to load a model on this machine."""

    extra_buffers: bool
    """Whether llama.cpp may rearrange the weights for its fastest kernels."""
    signal: str | None = None
    """What killed the child that tried, such as SIGSEGV."""

    @property
    def warning(self) -> str | None:
        """One sentence for the user, None when all is well."""
        if self.extra_buffers:
            return None
        return (
            f"llama.cpp as built here crashes on this CPU with its fastest kernels ({self.signal}), so slower ones "
            f"are used; to mend it, run: {REBUILD}"
        )


def check_kernels(model: Path, command: tuple[str, ...] = COMMAND) -> KernelCheck | None:
    """Load the model and decode a few tokens in a child process, first with the fastest kernels.

    Returns:
        How to load it; None when the child ended by an ordinary error, which the real loading will report.

    Raises:
        RuntimeError: it dies either way.
    """
    killed = _killed_by(command, model, "fast")
    if killed == "":
        return KernelCheck(extra_buffers=True)
    if killed is None:
        return None
    without = _killed_by(command, model, "plain")
    if without == "":
        return KernelCheck(extra_buffers=False, signal=killed)
    raise RuntimeError(f"llama.cpp as built here crashes on this CPU ({killed}): rebuild it with {REBUILD}")


def _killed_by(command: tuple[str, ...], model: Path, how: str) -> str | None:
    """The signal that killed the child, "" when it ended well, None when it ended by an error."""
    environment = os.environ | {"GGML_NO_BACKTRACE": "1"}  # else a dying llama.cpp starts a debugger
    done = subprocess.run(
        [*command, str(model.absolute()), how],
        cwd=NOBODYS_FOLDER,
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
    from ucoder_lsp.engine.context import Context, LoadedModel, default_threads

    model = LoadedModel(Path(sys.argv[1]), extra_buffers=sys.argv[2] == "fast")
    context = Context(model, n_cells=64, n_seq=1, n_rows=1, n_batch=32, n_threads=default_threads())
    # Many rows and one row take different kernels.
    context.decode([1] * 32, range(32), [0] * 32, [False] * 31 + [True])
    context.decode([1], [32], [0], [True])
    context.logits(1)
    context.close()
    model.close()


if __name__ == "__main__":
    _main()
