"""A store whose every call ends in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IGroupStore, IStateStore, IStore, Outcome, Promises, State
from queuey.model.counts import Metric
from queuey.model.group_settings import Group
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.terms import Terms
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId
from queuey.model.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice

TICK: Final = 0.5
"""Seconds between two looks at what waits; a call may be that late."""

T = TypeVar("T")


class NotBegun(CancelledError):
    """What was cancelled had not been begun: nothing of it is done, and nothing will be."""


class Deadlines:
    """Ends what takes too long; one timer serves all, since each call of its own would cost more than the call.

    :param limit: seconds that a call may take.
    """

    def __init__(self, clock: IReactorTime, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._waiting: dict[Deferred[Any], tuple[float, str]] = {}
        self._late: dict[Deferred[Any], Unavailable] = {}
        self._timer: IDelayedCall | None = None

    def read(self, answer: Deferred[T]) -> Deferred[T]:
        """End a read in time; it is cancelled, and fails with ``Unavailable``."""
        return self.write(answer, "no")

    def write(self, answer: Deferred[T], applied: str = "unknown") -> Deferred[T]:
        """End the wait for a write in time: it fails with ``Unavailable``, and nobody knows whether it will be done.

        :param applied: what is known of that.
        """
        if answer.called:
            return answer
        self._waiting[answer] = (self._clock.seconds() + self._limit, applied)
        if self._timer is None:
            self._timer = self._clock.callLater(TICK, self._look)
        # What addBoth does, without a call more.
        mine = (answer,)
        return answer.addCallbacks(self._over, self._over, mine, {}, mine, {})

    def stop(self) -> None:
        """Look no more; what waits is the store's own to end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self, result: T | Failure, answer: Deferred[T]) -> T | Failure:
        if answer in self._waiting:
            del self._waiting[answer]
            return result
        late = self._late.pop(answer)
        if isinstance(result, Failure) and result.check(NotBegun):
            late.applied = "no"
        return Failure(late)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for answer, (deadline, applied) in list(self._waiting.items()):
            if deadline > now:
                break
            if answer not in self._waiting:
                continue  # the caller of one that was late has cancelled it
            del self._waiting[answer]
            self._late[answer] = Unavailable(f"The storage did not answer in {self._limit:g} s.", applied=applied)
            answer.cancel()
        # What a caller asked meanwhile may have set the timer.
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(TICK, self._look)


@implementer(IStateStore)
class TimedStates:
    """States whose every call ends in time; what is not known of a compare-and-set is said as such."""

    def __init__(self, states: IStateStore, deadlines: Deadlines) -> None:
        self._states = states
        self._deadlines = deadlines

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._deadlines.read(self._states.read(key))

    @deferred
    async def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        """See IStateStore."""
        try:
            return await self._deadlines.write(self._states.replace(key, version, value, fresh))
        except Unavailable as error:
            if error.applied == "unknown":
                return Outcome.UNKNOWN
            raise


@implementer(IGroupStore)
class TimedGroups:
    """Groups whose every call ends in time."""

    def __init__(self, groups: IGroupStore, deadlines: Deadlines) -> None:
        self._groups = groups
        self._deadlines = deadlines

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._deadlines.write(self._groups.run(queue, group, terms, commands))

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._deadlines.read(self._groups.look(queue, group, partition, ids))

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._deadlines.write(self._groups.end(incarnation, gid, partitions))


@implementer(IStore)
class TimedStore:
    """Any store, whose every call ends in time.

    :param limit: seconds that a call may take.
    :param ping_limit: seconds that ``ping`` may take.
    """

    def __init__(self, store: IStore, clock: IReactorTime, limit: float, ping_limit: float) -> None:
        self._store = store
        self._deadlines = Deadlines(clock, limit)
        self._pings = Deadlines(clock, ping_limit)
        self.states: IStateStore = TimedStates(store.states, self._deadlines)
        self.groups: IGroupStore = TimedGroups(store.groups, self._deadlines)
        self.metrics: Sequence[Metric] = store.metrics
        self.at_hand = store.at_hand

    @property
    def promises(self) -> Promises:
        """See IStore."""
        return self._store.promises

    def open(self) -> None:
        """See IStore."""
        self._store.open()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return self._store.opened()

    def watch(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore."""
        return self._store.watch(arrived)

    def troubles(self) -> Mapping[str, str]:
        """See IStore."""
        return self._store.troubles()

    def close(self) -> Deferred[None]:
        """See IStore; how long that may take is its caller's business."""
        self._deadlines.stop()
        self._pings.stop()
        return self._store.close()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._pings.read(self._store.ping())

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.append(queue, messages, terms))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.append_once(queue, messages, terms, once))

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._deadlines.read(self._store.merge(queue, merge, ack))

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._deadlines.read(self._store.scan(queue, window, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._deadlines.read(self._store.lookup(queue, addresses, ack))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.replace(queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.put(queue, address, content, ttl, condition, terms))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.restore(queue, messages, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._deadlines.write(self._store.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._deadlines.read(self._store.count(queue, ack))

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._deadlines.write(self._store.create(application, name, settings, max_queues))

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._deadlines.write(self._store.update(queue, settings))

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._deadlines.write(self._store.forget(queue))

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._deadlines.read(self._store.names(application, start, limit, prefix))

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._deadlines.read(self._store.describe(application, names))
