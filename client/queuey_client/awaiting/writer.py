"""A stream of messages, sent by a coroutine."""

from __future__ import annotations

from collections.abc import Callable

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.core.counted import counted
from queuey_client.core.errors import QueueyError, Unavailable
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Draft
from queuey_client.core.writing import Backlog


class WriterLoop:
    """Sends what a writer is given, one request after another."""

    def __init__(
        self,
        driver: AsyncDriver,
        calls: QueueCalls,
        linger: Seconds,
        pending: int,
        on_error: Callable[[Draft, QueueyError], object] | None,
    ) -> None:
        self._driver = driver
        self._calls = calls
        self._linger = in_seconds(linger)
        self._on_error = on_error
        self._changed = driver.runtime.wake()
        self._closed = False
        self._flushing = 0
        self._started = False
        self._error: BaseException | None = None
        self.backlog = Backlog(pending)

    async def post(self, draft: Draft) -> None:
        """Take a message; wait while there is no room."""
        self._raise()
        while self.backlog.full and not self._closed:
            await self._changed.wait()
            self._raise()
        if self._closed:
            raise ValueError("this writer is closed")
        if not self._started:
            self._started = True
            self._driver.runtime.spawn(self._work())
        self.backlog.add(draft, self._calls.session.takes_keys(self._calls.path))
        if len(self.backlog) == 1 or self.backlog.enough:
            self._changed.notify()

    async def flush(self, timeout: Seconds | None = None) -> None:
        """Wait until everything so far is stored or refused."""
        now = self._driver.runtime.now
        until = None if timeout is None else now() + in_seconds(timeout)
        wanted = self.backlog.posted
        self._flushing += 1
        self._changed.notify()
        try:
            while self.backlog.settled < wanted:
                left = None if until is None else until - now()
                if left is not None and left <= 0:
                    unsettled = wanted - self.backlog.settled
                    raise Unavailable(
                        f"{counted(unsettled, 'message is', 'messages are')} not stored yet",
                        code="timeout",
                        applied="unknown",
                    )
                await self._changed.wait(left)
        finally:
            self._flushing -= 1
        self._raise()

    def close(self) -> None:
        """Drop what waits, and let the coroutine end."""
        self._closed = True
        self.backlog.drop()
        self._changed.notify()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _work(self) -> None:
        now = self._driver.runtime.now
        while True:
            while not len(self.backlog) and not self._closed:
                await self._changed.wait()
            if not len(self.backlog):
                return
            until = now() + self._linger
            while not (self.backlog.enough or self._flushing or self._closed) and until > now():
                await self._changed.wait(until - now())
            await self._send()

    async def _send(self) -> None:
        piece = self.backlog.take()
        refused = 0
        error: BaseException | None = None
        try:
            found = await self._driver.run(self._calls.write(piece)) if piece else []
            refused = len(found)
            for entry, why in found:
                if self._on_error is None:
                    error = error or why
                else:
                    self._on_error(entry.draft, why)
        except Exception as raised:
            # From on_error, or from a transport of the user's own: the next call raises it.
            error = raised
        finally:
            self.backlog.done(piece, refused)
            self._error = self._error or error
            self._changed.notify()
