"""Data of the memory store: queues, their messages, the stable time, and the space that all of them take."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge as merged
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred

from queuey.errors import NoSuchQueue, StorageFull, Unavailable
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Address, Message
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge
from queuey.model.timeid import (
    LOWEST,
    RANDOM_BITS,
    MessageId,
    Ticks,
    from_seconds,
    make,
    make_random,
    ticks_of,
    to_seconds,
)
from queuey.storage.change_log import ChangeLog
from queuey.storage.due_heap import DueHeap, Place
from queuey.storage.refusals import NOTHING, Held, check_room, queue_closed

OVERHEAD: Final = 768
"""Bytes that a message, a queue, a state or a stored answer takes besides its content, as they count for the limit."""

T = TypeVar("T")


class Partition:
    """The messages of one partition by their ids."""

    def __init__(self) -> None:
        self.ids: list[MessageId] = []
        self.messages: dict[MessageId, Message] = {}

    def put(self, message: Message) -> None:
        """Add a message, or replace the one with the same id."""
        if message.id not in self.messages:
            insort(self.ids, message.id)
        self.messages[message.id] = message

    def take(self, ids: Sequence[MessageId]) -> list[Message]:
        """Remove the messages with these ids, in one pass; ids without a message are skipped."""
        taken = [self.messages.pop(id) for id in ids if id in self.messages]
        if len(taken) == 1:
            del self.ids[bisect_left(self.ids, taken[0].id)]
        elif taken:
            self.ids = [id for id in self.ids if id in self.messages]
        return taken

    def between(self, lower: MessageId, upper: MessageId, descending: bool) -> Iterable[MessageId]:
        """Return the ids of a range, without a copy of it."""
        places = range(bisect_left(self.ids, lower), bisect_left(self.ids, upper))
        return (self.ids[place] for place in (reversed(places) if descending else places))


@attrs.frozen
class Kept:
    """The stored answer to a write with an Idempotency-Key.

    :ivar digest: the hash of the request.
    :ivar appended: the answer to a repetition.
    :ivar expires: the time from which the key counts as unused.
    :ivar bytes: that it takes.
    """

    digest: bytes
    appended: Appended
    expires: Ticks
    bytes: int


class QueueData:
    """One incarnation of a queue.

    :ivar keys: the stored answers by Idempotency-Key.
    :ivar purged: the bound below which messages were purged.
    :ivar held: number and bytes of its messages, including expired ones that are not swept yet.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.partitions: dict[int, Partition] = {}
        self.keys: dict[bytes, Kept] = {}
        self.purged = LOWEST
        self.held = NOTHING

    def partition(self, number: int) -> Partition:
        """Return a partition to write to."""
        return self.partitions.setdefault(number, Partition())

    def find(self, address: Address) -> Message | None:
        """Return a message, expired or not."""
        partition = self.partitions.get(address.partition)
        return partition.messages.get(address.id) if partition else None

    def places(self, merge: Merge, stable: MessageId) -> Iterator[tuple[MessageId, int]]:
        """Return the ids and partitions of a merged range below a bound."""
        each = (self._places(number, merge, stable) for number in merge.partitions if number in self.partitions)
        return merged(*each, reverse=merge.descending)

    def _places(self, number: int, merge: Merge, stable: MessageId) -> Iterator[tuple[MessageId, int]]:
        lower, upper = merge.bounds(number)
        ids = self.partitions[number].between(lower, min(upper, stable), merge.descending)
        return ((id, number) for id in ids)

    def __len__(self) -> int:
        return sum(len(partition.messages) for partition in self.partitions.values())


class Space:
    """The bytes that the whole store takes, and their limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def short(self, more: int) -> bool:
        """Return whether ``more`` bytes do not fit; a negative number always fits."""
        return more > 0 and self.used + more > self._limit

    def error(self) -> StorageFull:
        """Return the error for a write that does not fit."""
        return StorageFull(f"The memory store may take {self._limit} bytes, and they are used up.")


def closed() -> Unavailable:
    """Return the error of every call before ``open`` and after ``close``."""
    return Unavailable("The store is closed.")


def _ignore() -> None:
    """Ignore that a message of the future was stored."""


class StoreData:
    """All queues with their messages. It makes ids, counts the space used, and knows when messages expire or fall due.

    :param now: the wall clock, in seconds since 1970.
    :param max_bytes: limit of the bytes of the whole store.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never used before.
    :param bits: returns an integer of that number of random bits.
    :ivar open: whether the store accepts calls.
    :ivar last: the stable time: that of the last id made, or of a later delayed message that is due.
    :ivar expiry: when each message expires.
    :ivar future: when each message that is hidden until then falls due.
    :ivar forgetting: when each stored answer expires.
    :ivar arrived: queues in which messages fell due, until the store has informed readers.
    :ivar on_future: called when a message of the future was stored.
    :ivar change_log: the queues that were changed last.
    """

    def __init__(
        self,
        now: Callable[[], float],
        max_bytes: int,
        node: int,
        clock_sequence: int,
        new_version: Callable[[], str],
        bits: Callable[[int], int],
    ) -> None:
        self.now = now
        self.new_version = new_version
        self.space = Space(max_bytes)
        self.open = False
        self.last = Ticks(0)
        self.queues: dict[int, QueueData] = {}
        self.usage: dict[str, Held] = {}
        self.expiry: DueHeap[Place] = DueHeap()
        self.future: DueHeap[Place] = DueHeap()
        self.forgetting: DueHeap[tuple[int, bytes]] = DueHeap()
        self.arrived: set[int] = set()
        self.on_future: Callable[[], None] = _ignore
        self.change_log = ChangeLog()
        self._node = node
        self._clock_sequence = clock_sequence
        self._bits = bits

    def when_open(self, function: Callable[[], T]) -> Deferred[T]:
        """Call a function if the store is open."""
        return maybeDeferred(function) if self.open else fail(closed())

    def queue(self, queue: Queue) -> QueueData:
        """Return the data of a queue; raise ``NoSuchQueue`` if it was deleted."""
        data = self.queues.get(queue.incarnation)
        if data is None:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
        return data

    def open_queue(self, queue: Queue) -> QueueData:
        """Return the data of a queue for new messages.

        :raise NoSuchQueue: it was deleted; ``QueueClosed``: it is closed.
        """
        data = self.queue(queue)
        if data.queue.closed is not None:
            raise queue_closed(queue)
        return data

    # Time and ids

    def ticks(self) -> Ticks:
        """Return the current time."""
        return from_seconds(self.now())

    def stable(self) -> Ticks:
        """Return the stable time, after raising it to that of the delayed messages that are due."""
        # Messages older than the last id are visible already, even if the clock was set back since.
        for incarnation, _, id in self.future.due(max(self.ticks(), self.last)):
            self.last = max(self.last, ticks_of(id))
            self.arrived.add(incarnation)
            self.change_log.add((incarnation,))
        return self.last

    def stable_age(self) -> float:
        """Return the age of the stable time for the metric: 0, or less if the clock was set back behind it."""
        return min(0.0, self.now() - to_seconds(self.last))

    def make_id(self, now: Ticks, due: Ticks | None) -> MessageId:
        """Make an id for now, or for a future time with random bits so that it cannot be guessed."""
        if due is not None:
            return make_random(due, self._bits(RANDOM_BITS))
        self.last = Ticks(max(self.last, now) + 1)
        return make(self.last, self._clock_sequence, self._node)

    # Messages

    def put(self, data: QueueData, message: Message) -> None:
        """Store a message whose space is reserved."""
        data.partition(message.partition).put(message)
        self.expiry.put((data.queue.incarnation, message.partition, message.id), message.expires)

    def show_later(self, place: Place) -> None:
        """Hide a message of the future until it falls due."""
        self.future.put(place, ticks_of(place[2]))
        self.on_future()

    def take(self, data: QueueData, number: int, ids: Sequence[MessageId]) -> list[Message]:
        """Remove messages of one partition, and everything that is stored about them."""
        partition = data.partitions[number]
        taken = partition.take(ids)
        if not partition.ids:
            del data.partitions[number]
        for message in taken:
            place = (data.queue.incarnation, number, message.id)
            self.expiry.drop(place)
            self.future.drop(place)
        self._charge(data, -sum(message.content.size for message in taken), -len(taken))
        return taken

    def sweep(self) -> None:
        """Remove messages and stored answers that have expired."""
        gone: dict[tuple[int, int], list[MessageId]] = {}
        for incarnation, partition, id in self.expiry.due(self.ticks()):
            gone.setdefault((incarnation, partition), []).append(id)
        for (incarnation, number), ids in gone.items():
            self.take(self.queues[incarnation], number, ids)
        for incarnation, key in self.forgetting.due(self.ticks()):
            self.space.used -= self.queues[incarnation].keys.pop(key).bytes

    # Space

    def reserve(self, data: QueueData, more: int, messages: int, terms: WriteTerms, beside: int = 0) -> None:
        """Count what is about to be stored, or refuse it.

        :param beside: bytes that count for the store only, not for its application.
        """
        room, asked = more + messages * OVERHEAD + beside, Held(messages, more)
        if self.space.short(room) or terms.limited:
            self.sweep()
        check_room(terms, self.usage.get(data.queue.application, NOTHING), data.held, asked)
        if self.space.short(room):
            raise self.space.error()
        self._charge(data, more, messages)
        self.space.used += beside

    def _charge(self, data: QueueData, more: int, messages: int) -> None:
        application = data.queue.application
        self.change_log.add((data.queue.incarnation,))
        before = self.usage.get(application, NOTHING)
        self.usage[application] = Held(before.messages + messages, before.bytes + more)
        data.held = Held(data.held.messages + messages, data.held.bytes + more)
        self.space.used += more + messages * OVERHEAD
