"""The asyncio event loop of the jail, without sockets, pipes or threads.

asyncio's own loops wake themselves through a socket pair, which the seccomp filter forbids. The jail has no
events from outside, only timers and callbacks, so the selector just sleeps until the next timer.

The zygote reads this file as text, because importing asyncio costs 30 ms and few candidates need it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any


class _Sleeper:
    """A selector without descriptors: it sleeps until the next timer."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits and no timer is set")
        if timeout > 0:
            time.sleep(timeout)
        return []


class JailLoop(asyncio.BaseEventLoop):
    """Runs tasks and timers, without descriptors or threads.

    Anything that needs one of them fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Sleeper()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class JailPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes `asyncio.run` inside a candidate use the same loop."""

    def new_event_loop(self) -> JailLoop:
        return JailLoop()


def run(awaitable: Any) -> Any:
    """Run an awaitable to its result in a fresh loop."""
    loop = JailLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(awaitable)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def collect(generator: Any, most: int) -> tuple[list[Any], bool]:
    """Collect at most `most` items of an async generator.

    Returns them, and whether there are more.
    """
    return run(_collect(generator, most))  # type: ignore[no-any-return]


async def _collect(generator: Any, most: int) -> tuple[list[Any], bool]:
    items: list[Any] = []
    async for item in generator:
        if len(items) == most:
            return items, True
        items.append(item)
    return items, False
