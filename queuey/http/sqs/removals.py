"""Removes messages that are acked and that no one will read again, many in one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.messages import MessageExchange
from queuey.deferreds import deferred
from queuey.errors import QueueyError
from queuey.logs import EventLog
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue

PAUSE: Final = 0.1
"""Seconds for which removals are gathered. A client that sends, receives and deletes in turn would otherwise wait, with
each message that it sends, for the write that removes the last one."""

AT_ONCE: Final = 1000
"""Messages that are removed in one write."""

MAX_WAITING: Final = 100_000
"""Maximum number of messages of a queue that wait for their removal; others stay until they expire."""

_log = EventLog(Logger(namespace="queuey.http"))


class Removals:
    """Removes messages a moment after their ack was stored, and answered.

    Each queue has at most one write under way; messages added in the meantime are removed by the next one.
    """

    def __init__(self, exchange: MessageExchange, clock: IReactorTime) -> None:
        self._exchange = exchange
        self._clock = clock
        self._waiting: dict[int, list[Address]] = {}
        self._pauses: set[Deferred[None]] = set()
        self._stopping: Deferred[None] | None = None

    def add(self, queue: Queue, addresses: Sequence[Address]) -> None:
        """Remove messages soon."""
        if not addresses:
            return
        waiting = self._waiting.get(queue.incarnation)
        if waiting is None:
            self._waiting[queue.incarnation] = list(addresses)
            self._run(queue).addErrback(_defect)
        elif len(waiting) < MAX_WAITING:
            waiting.extend(addresses)

    def stop(self) -> Deferred[None]:
        """Remove at once what still waits.

        :return: fires, and never fails, when that is done.
        """
        if self._stopping is None:
            self._stopping = Deferred()
        stopping = self._stopping
        for pause in tuple(self._pauses):
            pause.cancel()
        if not self._waiting and not stopping.called:
            stopping.callback(None)
        return stopping

    @deferred
    async def _run(self, queue: Queue) -> None:
        waiting = self._waiting[queue.incarnation]
        try:
            while waiting:
                await self._pause()
                some = waiting[:AT_ONCE]
                del waiting[:AT_ONCE]
                await self._exchange.remove(queue, some)
        except QueueyError as error:
            # They are acked, so no client receives them; they take room until they expire.
            _log.warn("deleted-left", "deleted messages could not be removed: {text}", text=error.text)
        finally:
            del self._waiting[queue.incarnation]
            if self._stopping is not None and not self._waiting and not self._stopping.called:
                self._stopping.callback(None)

    def _pause(self) -> Deferred[None]:
        """Wait for more to remove, unless this process stops."""
        if self._stopping is not None:
            return succeed(None)
        pause: Deferred[None] = deferLater(self._clock, PAUSE)
        self._pauses.add(pause)

        def over(_: object) -> None:
            self._pauses.discard(pause)

        return pause.addBoth(over)


def _defect(failure: Failure) -> None:
    _log.failure("removal-defect", "deleted messages could not be removed", failure)
