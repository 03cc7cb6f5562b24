"""Fixtures of the trainer's tests. Nothing here reads or writes the user's home."""

from __future__ import annotations

import os

# torch and llama.cpp both start one thread per core; tokenizers warns when a process forks after its use.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
