"""A stream of messages, for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from queuey_client.core.counted import counted
from queuey_client.core.encoding import Body
from queuey_client.core.errors import QueueyError, Unavailable
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Draft, make_draft
from queuey_client.core.writing import Backlog
from queuey_client.sync.transport import Driver

if TYPE_CHECKING:
    from typing_extensions import Self


class Writer:
    """Stores messages as they come, in their order, each under a key of its own.

    Use it in a ``with`` statement: leaving it waits until all is stored. If its body raises, what is not sent yet is
    dropped. A request that breaks is sent again under the same keys, so each message is stored once. A message that the
    server refuses for now (a rate, a quota) is sent again after those that it has stored.

    .. code-block:: python

       with queue.writer() as writer:
           for number in range(10_000):
               writer.post({"number": number})
       print(writer.stored)
    """

    def __init__(
        self,
        driver: Driver,
        calls: QueueCalls,
        linger: Seconds,
        pending: int,
        on_error: Callable[[Draft, QueueyError], object] | None,
    ) -> None:
        self._driver = driver
        self._calls = calls
        self._linger = in_seconds(linger)
        self._on_error = on_error
        self._backlog = Backlog(pending)
        self._changed = threading.Condition()
        self._closed = False
        self._flushing = 0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def stored(self) -> int:
        """How many messages are stored."""
        return self._backlog.stored

    @property
    def failed(self) -> int:
        """How many messages were refused, or dropped."""
        return self._backlog.failed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._close()

    def post(
        self,
        body: Body | Draft,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        key: str | None = None,
        partition: int | None = None,
        ttl: Seconds | None = None,
        delay: Seconds | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Take a message, and return at once; if ``pending`` messages are not stored yet, it waits until there is room.

        :raise QueueyError: why an earlier message was refused, if the writer has no ``on_error``.
        """
        draft = make_draft(body, content_type, headers, key, partition, ttl, delay, idempotency_key)
        with self._changed:
            self._raise()
            while self._backlog.full and not self._closed:
                self._changed.wait()
                self._raise()
            if self._closed:
                raise ValueError("this writer is closed")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=f"queuey writer {self._calls.name}", daemon=True
                )
                self._thread.start()
            self._backlog.add(draft, self._calls.session.takes_keys(self._calls.path))
            if len(self._backlog) == 1 or self._backlog.enough:
                self._changed.notify_all()

    def flush(self, timeout: Seconds | None = None) -> None:
        """Wait until everything so far is stored or refused.

        :raise Unavailable: if that takes longer than ``timeout`` seconds.
        :raise QueueyError: why a message was refused, if the writer has no ``on_error``.
        """
        until = None if timeout is None else time.monotonic() + in_seconds(timeout)
        with self._changed:
            wanted = self._backlog.posted
            self._flushing += 1
            self._changed.notify_all()
            try:
                while self._backlog.settled < wanted:
                    left = None if until is None else until - time.monotonic()
                    if left is not None and left <= 0:
                        unsettled = wanted - self._backlog.settled
                        raise Unavailable(
                            f"{counted(unsettled, 'message is', 'messages are')} not stored yet",
                            code="timeout",
                            applied="unknown",
                        )
                    self._changed.wait(left)
            finally:
                self._flushing -= 1
            self._raise()

    def _close(self) -> None:
        """Drop what waits, and let the thread end."""
        with self._changed:
            self._closed = True
            self._backlog.drop()
            self._changed.notify_all()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            with self._changed:
                while not len(self._backlog) and not self._closed:
                    self._changed.wait()
                if not len(self._backlog):
                    return
                until = time.monotonic() + self._linger
                while not (self._backlog.enough or self._flushing or self._closed) and until > time.monotonic():
                    self._changed.wait(until - time.monotonic())
                piece = self._backlog.take()
            refused = 0
            error: BaseException | None = None
            try:
                found = self._driver.run(self._calls.write(piece)) if piece else []
                refused = len(found)
                for entry, why in found:
                    if self._on_error is None:
                        error = error or why
                    else:
                        self._on_error(entry.draft, why)
            except BaseException as raised:
                # From on_error, or from a transport of the user's own: the next call raises it.
                error = raised
            finally:
                with self._changed:
                    self._backlog.done(piece, refused)
                    self._error = self._error or error
                    self._changed.notify_all()
