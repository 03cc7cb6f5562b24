"""Await what a program returns: a coroutine or an async generator."""

from __future__ import annotations

import types
from typing import Any

from sandbox.jailed.program import compiled
from sandbox.jailed.stand_ins import MAX_GENERATED, Generated

LOOP_SOURCE = ""
"""The text of `loop.py`, set by the zygote: a child cannot open files of the sandbox."""
_loop_module: Any = None

AWAITED = (types.CoroutineType, types.AsyncGeneratorType)


def settle(result: Any) -> Any:
    """Await a coroutine, collect an async generator, and return anything else unchanged."""
    if type(result) is types.CoroutineType:
        return event_loop().run(result)
    if type(result) is types.AsyncGeneratorType:
        return Generated(*event_loop().collect(result, MAX_GENERATED))
    return result


def event_loop() -> Any:
    """Load `sandbox.jailed.loop` on first use.

    asyncio costs 30 ms, and few programs need it.
    """
    global _loop_module  # noqa: PLW0603 - a module, made once
    if _loop_module is None:
        _loop_module = types.ModuleType("loop")
        exec(compiled(LOOP_SOURCE, "exec", "<loop>"), _loop_module.__dict__)
    return _loop_module
