"""asyncio's loop, as coroutines of this package need it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


class AsyncioWake:
    """What coroutines wait for."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all that wait."""
        for each in self._waiting:
            _finish(each)
        self._waiting.clear()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is notified, at most for this number of seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.add(future)
        timer = None if seconds is None else loop.call_later(seconds, _finish, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if timer is not None:
                timer.cancel()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class AsyncioRuntime:
    """The loop that runs at the moment."""

    def __init__(self) -> None:
        # asyncio itself keeps no reference to a task, which may vanish then before it has ended.
        self._tasks: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine beside this one."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def wake(self) -> AsyncioWake:
        """Make something to wait for."""
        return AsyncioWake()
