"""The lines of a stream on their way into a queue: stored in batches, one after another, while more lines come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.http.v2.streams.lines import MAX_LINES, Line, are_keyed, joined, size_of

MAX_BYTES: Final = 1 << 20
"""A batch ends with the line that brings it to this size, if not before."""

MAX_KEYS: Final = 64
"""Maximum number of lines with an idempotency key in one batch: each is a separate write."""


class Batches:
    """Collects lines into the next batch while the current batch is being stored.

    :ivar over: whether no further batch is started.
    """

    def __init__(self, work: Callable[[Sequence[Line]], Deferred[None]], ended: Callable[[], None]) -> None:
        """
        :param work: stores a batch and answers it; the next one is begun when that is done.
        :param ended: is called where the work fails, or says by :meth:`stop` that it is over.
        """
        self.over = False
        self._work: Callable[[Sequence[Line]], Deferred[None]] | None = work
        self._ended: Callable[[], None] | None = ended
        self._portions: deque[tuple[Sequence[Line], int]] = deque()
        self._count = 0
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
            self._add(lines)
            self._begin()
        while not self.over and (self._count >= MAX_LINES or self._size >= MAX_BYTES):
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
        """Stop: start no further batch and drop the lines that wait for one."""
        self.over = True
        self._portions.clear()
        if self._ended is not None:
            self._ended()

    def release(self) -> None:
        """Drop the references to the callbacks; call this when all is done.

        The callbacks refer to this object too, so the cycle would last until the garbage collector runs.
        """
        self.over = True
        self._work = self._ended = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _change(self) -> Deferred[None]:
        """Wait until lines have been taken for a batch, or the last batch is done."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _begin(self) -> None:
        if self._portions and not self._working:
            self._working = True
            self._go_on()

    @deferred
    async def _go_on(self) -> None:
        try:
            while self._portions and self._work is not None:
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

    def _add(self, lines: Sequence[Line]) -> None:
        if lines:
            size = size_of(lines)
            self._portions.append((lines, size))
            self._count += len(lines)
            self._size += size

    def _take(self) -> Sequence[Line]:
        """The lines of the next batch."""
        whole: list[Sequence[Line]] = []
        count = size = 0
        while self._portions:
            lines, more = self._portions[0]
            count, size = count + len(lines), size + more
            if count > MAX_LINES or size - lines[-1].size >= MAX_BYTES or are_keyed(lines):
                break
            whole.append(lines)
            self._portions.popleft()
            self._count -= len(lines)
            self._size -= more
        return joined(whole) if whole else self._take_singly()

    def _take_singly(self) -> Sequence[Line]:
        """The same line by line; of those with one key there is only one, since it has to be stored first."""
        lines = deque(chain.from_iterable([lines for lines, _ in self._portions]))
        self._portions.clear()
        self._count = self._size = 0
        batch: list[Line] = []
        keys: set[bytes] = set()
        size = 0
        while lines and len(batch) < MAX_LINES and size < MAX_BYTES and len(keys) < MAX_KEYS:
            once = lines[0].once
            if once is not None:
                if once.key in keys:
                    break
                keys.add(once.key)
            size += lines[0].size
            batch.append(lines.popleft())
        self._add(list(lines))
        return batch
