"""The states that SQS keeps of queues: found, with a short cache, and changed by compare-and-set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import Deferred, succeed

from queuey.core.contention import Retries
from queuey.core.groups.directory import CACHED
from queuey.core.groups.rows import contended
from queuey.deferreds import KeyedLock, deferred, shield
from queuey.errors import InvalidUpdate, Unavailable
from queuey.interfaces import MAX_STATE, IStateStore, Outcome
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import FIFO, SqsQueue, UnreadableQueue, decode_sqs, encode_sqs, sqs_key

MAX_CACHED: Final = 10_000
"""States that are cached."""

MAX_OWN: Final = MAX_STATE - 8192
"""Bytes that attributes and tags may take; the rest is for tasks that move messages."""

_VERSION: Final = 16
"""Random bytes of a version."""


@attrs.frozen
class _Cached:
    state: SqsQueue | None
    since: float


class SqsQueues:
    """Finds and changes the states. Every Deferred may fail with ``Unavailable``.

    :param seconds: the reactor's clock.
    :param new_bytes: returns that number of random bytes.
    """

    def __init__(
        self,
        states: IStateStore,
        retries: Retries,
        seconds: Callable[[], float],
        new_bytes: Callable[[int], bytes],
    ) -> None:
        self._states = states
        self._retries = retries
        self._seconds = seconds
        self._new_bytes = new_bytes
        self._turns = KeyedLock()
        self._cached: OrderedDict[int, _Cached] = OrderedDict()
        self._changes = 0

    def cached(self, queue: Queue) -> _Cached | None:
        """Return the state that was read a short time ago; other processes may have changed it since."""
        found = self._cached.get(queue.incarnation)
        return found if found is not None and 0 <= self._seconds() - found.since < CACHED else None

    def find(self, queue: Queue) -> Deferred[SqsQueue | None]:
        """Return the state of a queue; ``None`` if the queue was not made or changed through SQS."""
        found = self.cached(queue)
        return self._read(queue) if found is None else succeed(found.state)

    @deferred
    async def _read(self, queue: Queue) -> SqsQueue | None:
        now, changes = self._seconds(), self._changes
        stored = await self._states.read(sqs_key(queue.incarnation))
        state = None if stored is None else _decoded(stored.value)
        # Another process may be making a FIFO queue, and its state is written after the queue itself: to take it for a
        # standard one for a while would lose the order of its messages.
        if changes == self._changes and (state is not None or not queue.name.endswith(FIFO)):
            self._keep(queue, state, now)
        return state

    def change(self, queue: Queue, change: Callable[[SqsQueue | None], SqsQueue]) -> Deferred[SqsQueue]:
        """Change a state, or make it.

        :param change: returns the new state; may be called more than once, and what it raises ends the change.
        :return: fires with the new state. Fails with ``InvalidUpdate`` if it is too large, which changes nothing.
        """
        return self._turns.take(queue.incarnation, lambda: shield(self._change(queue, change)))

    @deferred
    async def _change(self, queue: Queue, change: Callable[[SqsQueue | None], SqsQueue]) -> SqsQueue:
        key, attempts = sqs_key(queue.incarnation), self._retries.begin(contended)
        while True:
            stored = await self._states.read(key)
            before = None if stored is None else _decoded(stored.value)
            after = change(before)
            if after == before:
                return after
            if before is None or after.tasks == before.tasks:
                check_fits(after)
            version, fresh = None if stored is None else stored.version, self._new_bytes(_VERSION).hex()
            outcome = await self._states.replace(key, version, encode_sqs(after), fresh)
            if outcome is Outcome.APPLIED:
                self._changes += 1
                self._keep(queue, after, self._seconds())
                return after
            await attempts.again()

    def _keep(self, queue: Queue, state: SqsQueue | None, since: float) -> None:
        self._cached[queue.incarnation] = _Cached(state, since)
        self._cached.move_to_end(queue.incarnation)
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)


def check_fits(state: SqsQueue) -> None:
    """Refuse a state that is too large to be kept, with room for the tasks that move messages.

    :raise InvalidUpdate: saying so.
    """
    if len(encode_sqs(state)) > MAX_OWN:
        raise InvalidUpdate(f"The attributes and tags of a queue take at most {MAX_OWN} bytes together.")


def _decoded(value: bytes) -> SqsQueue:
    try:
        return decode_sqs(value)
    except UnreadableQueue as error:
        raise Unavailable(f"The queue cannot be used through SQS: {error}.") from None
