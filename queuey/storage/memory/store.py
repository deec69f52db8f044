"""The store that keeps everything in the process: the reference for all others, and useful for caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from queuey.interfaces import Capabilities, IGroupStore, IStateStore, IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId, to_seconds
from queuey.storage.gauges import stable_time_age
from queuey.storage.memory import many
from queuey.storage.memory import messages as operations
from queuey.storage.memory.data import StoreData
from queuey.storage.memory.groups import MemoryGroups
from queuey.storage.memory.queues import MemoryQueues
from queuey.storage.memory.states import MemoryStates
from queuey.storage.restoring import restore

SWEEP: Final = 1.0
"""Seconds between two sweeps of expired messages."""

SOONEST: Final = 0.001
"""Minimum seconds until the timer for a delayed message fires: clocks are not exact, and a timer that fires too early
must not be set again at once."""


def _nothing(incarnation: int) -> None:
    """Ignore an arrival: the callback until ``subscribe`` sets another one."""


@implementer(IStore)
class MemoryStore:
    """A store in dicts and sorted lists; everything ends with the process.

    :param clock: its timers sweep expired messages.
    :param now: the wall clock, in seconds since 1970.
    :param max_bytes: limit of the bytes of the whole store; writes beyond it are refused.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never used before.
    :param bits: returns an integer of that number of random bits.
    """

    capabilities = Capabilities("An acknowledged write is kept in memory: it ends with the process.", False)

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        max_bytes: int,
        node: int,
        clock_sequence: int,
        new_version: Callable[[], str],
        bits: Callable[[int], int],
    ) -> None:
        self._clock = clock
        self._data = data = StoreData(now, max_bytes, node, clock_sequence, new_version, bits)
        data.on_future = self._wake_in_time
        self._queues = MemoryQueues(data)
        self._states = MemoryStates(data)
        self.states: IStateStore = self._states
        self._groups = MemoryGroups(data, self._states, bits)
        self.groups: IGroupStore = self._groups
        self.metrics: Sequence[Metric] = (stable_time_age(data.stable_age),)
        self._tell: Callable[[int], None] = _nothing
        self._timer: IDelayedCall | None = None

    def open(self) -> None:
        """See IStore; this cannot fail."""
        self._data.open = True
        self._timer = self._clock.callLater(SWEEP, self._tick)

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore."""
        self._tell = arrived
        return None

    def health_problems(self) -> Mapping[str, str]:
        """See IStore: no other process writes here."""
        return {}

    def close(self) -> Deferred[None]:
        """See IStore; there are no pending writes, so it completes at once."""
        self._data.open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return succeed(None)

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._data.when_open(lambda: None)

    def _tick(self) -> None:
        self._data.stable()
        self._data.sweep()
        self._timer = self._clock.callLater(self._pause(), self._tick)
        arrived, self._data.arrived = self._data.arrived, set()
        for incarnation in sorted(arrived):
            self._tell(incarnation)

    def _pause(self) -> float:
        """Return the seconds to the next sweep, or until a message falls due."""
        due = self._data.future.first()
        return SWEEP if due is None else min(SWEEP, max(SOONEST, to_seconds(due) - self._data.now()))

    def _wake_in_time(self) -> None:
        """Let the timer fire when the first message falls due."""
        pause = self._pause()
        if self._timer is not None and pause < self._timer.getTime() - self._clock.seconds():
            self._timer.reset(pause)

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.append(self._data, queue, messages, terms))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.append_once(self._data, queue, messages, terms, once))

    def close_queue(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.close_queue(self._data, queue, messages, terms, once))

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.read_merged(self._data, queue, merge))

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """See IMessageStore."""
        return self._data.when_open(lambda: many.read_many(self._data, queues, asked))

    def changes(self, mark: int | None) -> Deferred[Changes]:
        """See IMessageStore."""
        return self._data.when_open(lambda: many.changes(self._data, mark))

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.read_range(self._data, queue, window))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.lookup(self._data, queue, addresses))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.replace(self._data, queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.put(self._data, queue, address, content, ttl, condition, terms))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return restore(self, queue, messages, terms, self._data.ticks)

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.remove(self._data, queue, addresses))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.purge(self._data, queue, before))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.count(self._data, queue))

    def delayed(self, queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        """See IMessageStore."""
        return self._data.when_open(lambda: operations.delayed(self._data, queue, limit))

    def measure(self, queue: Queue, ack: Ack) -> Deferred[Depth]:
        """See IMessageStore; the numbers are exact."""
        return self._data.when_open(lambda: operations.measure(self._data, queue))

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._data.when_open(lambda: self._queues.create(application, name, settings, max_queues))

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._data.when_open(lambda: self._queues.update(queue, settings))

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._data.when_open(lambda: self._forget(queue))

    def _forget(self, queue: Queue) -> bool:
        if not self._queues.forget(queue):
            return False
        self._states.forget(queue.incarnation)
        self._groups.forget(queue.incarnation)
        return True

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._data.when_open(lambda: self._queues.names(application, start, limit, prefix))

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._data.when_open(lambda: self._queues.describe(application, names))

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore; this store has no cache."""
        return None
