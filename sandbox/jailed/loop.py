"""The asyncio event loop of the jail, without sockets and pipes.

asyncio's own loops wake themselves through a socket pair, which the seccomp filter forbids. The jail has no
events from outside, only timers, callbacks and threads, so the selector waits until the next timer or until a thread
wakes it.

The zygote reads this file as text, because importing asyncio costs 30 ms and few candidates need it.
"""

from __future__ import annotations

import _thread
import asyncio
import threading
from typing import Any


class _Sleeper:
    """A selector without descriptors: it waits for the next timer, or for a thread."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None and not _thread._count() and not self.woken.is_set():
            raise RuntimeError("deadlock: every task waits and no timer is set")
        if timeout is None or timeout > 0:
            self.woken.wait(timeout)
        self.woken.clear()
        return []


class JailLoop(asyncio.BaseEventLoop):
    """Runs tasks, timers and threads, without descriptors.

    Anything that needs a descriptor fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Sleeper()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        self._selector.woken.set()


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
        if hasattr(loop, "shutdown_default_executor"):  # since Python 3.9
            loop.run_until_complete(loop.shutdown_default_executor())
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
