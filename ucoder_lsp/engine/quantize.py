"""The requantization of a GGUF file by llama.cpp."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

import llama_cpp as C

from ucoder_lsp.engine import native_log
from ucoder_lsp.engine.errors import EngineError

FILE_TYPES = {
    "q4_0": C.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q8_0": C.LLAMA_FTYPE_MOSTLY_Q8_0,
    "iq4_nl": C.LLAMA_FTYPE_MOSTLY_IQ4_NL,
}
"""Kind to llama.cpp's file type: kinds for which llama.cpp has its fastest CPU kernels."""

_TENSOR_LINE = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")


def quantize(source: Path, target: Path, kind: str, progress: Callable[[float], None] | None = None) -> None:
    """Write `source` to `target` with weights of another kind.

    Args:
        kind: a key of FILE_TYPES.
        progress: called with the share of tensors done, 0 to 1, in llama.cpp's thread.

    Raises:
        EngineError: llama.cpp cannot read the source or write the target. The caller removes a partial target.
    """
    native_log.install()
    C.llama_backend_init()
    params = C.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[kind]
    params.allow_requantize = True
    params.nthread = 0

    def watch(line: str) -> None:
        match = _TENSOR_LINE.match(line)
        if match and progress is not None:
            progress(int(match[1]) / int(match[2]))

    native_log.take_errors()
    with native_log.listening(watch):
        code = C.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if code != 0:
        raise EngineError(
            f"llama.cpp cannot requantize {source} to {kind} ({native_log.take_errors() or f'code {code}'})."
        )
