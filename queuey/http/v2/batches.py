"""The lines of a stream on their way into a queue: stored in batches, one after another, while more lines come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.http.v2.lines import MOST_LINES, Line

MOST_BYTES: Final = 1 << 20
"""A batch ends with the line that brings it to this size."""

MOST_KEYS: Final = 64
"""Lines with an idempotency key in one batch, at the most: each of them is a write of its own."""


class Batches:
    """Gathers lines while the batch before them is being worked on.

    :ivar over: whether nothing more is begun.
    """

    def __init__(self, work: Callable[[Sequence[Line]], Deferred[None]], ended: Callable[[], None]) -> None:
        """
        :param work: stores a batch and answers it; the next one is begun when that is done.
        :param ended: is called where the work fails, or says by :meth:`stop` that it is over.
        """
        self.over = False
        self._work = work
        self._ended = ended
        self._lines: deque[Line] = deque()
        self._size = 0
        self._error: Exception | None = None
        self._working = False
        self._waiting: list[Deferred[None]] = []

    @deferred
    async def put(self, lines: Sequence[Line]) -> None:
        """Take lines.

        :return: fires once there is room for more. Fails as the work does. May be cancelled.
        """
        if not self.over:
            self._lines.extend(lines)
            self._size += sum([line.size for line in lines])
            self._begin()
        while not self.over and (len(self._lines) >= MOST_LINES or self._size >= MOST_BYTES):
            await self._change()
        self._check()

    @deferred
    async def finish(self) -> None:
        """Wait until what was begun is done, and, unless it is over, all that was put.

        :return: fails as the work does. May be cancelled.
        """
        while self._working:
            await self._change()
        self._check()

    def stop(self) -> None:
        """Begin nothing more."""
        self.over = True
        self._lines.clear()
        self._ended()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _change(self) -> Deferred[None]:
        """Wait until lines have been taken for a batch, or the last batch is done."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _begin(self) -> None:
        if self._lines and not self._working:
            self._working = True
            self._go_on()

    @deferred
    async def _go_on(self) -> None:
        try:
            while self._lines:
                working = self._work(self._take())
                self._tell()
                await working
        except Exception as error:
            self._error = error
            self.stop()
        self._working = False
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    def _take(self) -> list[Line]:
        """The lines of the next batch; of those with one key there is only one, since it has to be stored first."""
        few = len(self._lines) <= MOST_LINES and self._size <= MOST_BYTES
        if few and not [line for line in self._lines if line.once is not None]:
            lines = list(self._lines)
            self._lines.clear()
            self._size = 0
            return lines
        batch: list[Line] = []
        keys: set[bytes] = set()
        size = 0
        while self._lines and len(batch) < MOST_LINES and size < MOST_BYTES and len(keys) < MOST_KEYS:
            once = self._lines[0].once
            if once is not None:
                if once.key in keys:
                    break
                keys.add(once.key)
            size += self._lines[0].size
            batch.append(self._lines.popleft())
        self._size -= size
        return batch
