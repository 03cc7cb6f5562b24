"""The number of threads that llama.cpp computes with."""

from __future__ import annotations

import os


def default_threads() -> int:
    """Return the number of cores this process may use.

    More threads than cores are slower.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
