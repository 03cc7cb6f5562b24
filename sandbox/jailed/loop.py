"""An asyncio loop without sockets, pipes or threads, for async candidates under a filter that has none.

asyncio's own loops wake themselves through a socket pair. Nothing outside can happen in the jail, so timers
and callbacks are all there is, and sleeping until the next timer is all that a selector has to do.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sandbox.jailed import canonical


class _Sleeper:
    """Stands where the selector would: no descriptor is ever ready."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits and no timer is set")
        if timeout > 0:
            time.sleep(timeout)
        return []


class JailLoop(asyncio.BaseEventLoop):
    """Runs tasks and timers; anything that needs a descriptor or a thread fails."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Sleeper()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class JailPolicy(asyncio.DefaultEventLoopPolicy):
    """So that `asyncio.run` inside a candidate gets the same loop."""

    def new_event_loop(self) -> JailLoop:
        return JailLoop()


def settle(awaitable: Any) -> Any:
    loop = JailLoop()
    asyncio.set_event_loop(loop)
    try:
        if hasattr(awaitable, "__anext__"):
            return loop.run_until_complete(_collect(awaitable))
        return loop.run_until_complete(awaitable)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _collect(generator: Any) -> canonical.Generated:
    items: list[Any] = []
    async for item in generator:
        if len(items) == canonical.MAX_GENERATED:
            return canonical.Generated(items, True)
        items.append(item)
    return canonical.Generated(items, False)
