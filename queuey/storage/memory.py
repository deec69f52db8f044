"""The store that keeps everything in the process: the reference for all others, and a real choice for caches."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge as merged
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from queuey.errors import Conflict, NoSuchQueue, StorageFull, Unavailable
from queuey.interfaces import MAX_STATE, Capabilities, IGroupStore, IStateStore, IStore, Outcome, State
from queuey.model.counts import Metric
from queuey.model.group_rows import states_prefix
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import (
    HIGHEST,
    LOWEST,
    RANDOM_BITS,
    SECOND,
    MessageId,
    Ticks,
    from_seconds,
    make,
    make_random,
    ticks_of,
    to_seconds,
    upper_bound,
)
from queuey.model.window import SLICE_BYTES, SLICE_ROWS, LookupSlice, Merge, MergeSlice, Merging, Window, WindowSlice
from queuey.storage.due_heap import DueHeap, Place
from queuey.storage.gauges import stable_time_age
from queuey.storage.memory_groups import MemoryGroups
from queuey.storage.refusals import NOTHING, Held, check_condition, check_new_id, check_room, key_reused
from queuey.storage.restoring import restore

OVERHEAD: Final = 768
"""Bytes that a message, a queue, a state or a remembered answer takes beside its own, as they count for the bound."""

ADDRESS: Final = 192
"""Bytes that a remembered answer takes for each message in it."""

SWEEP: Final = 1.0
"""Seconds between two sweeps of what has expired."""

SOONEST: Final = 0.001
"""Seconds to the next look at what is due at the least: clocks are not exact, and one too early must not spin."""

T = TypeVar("T")


class Partition:
    """The messages of one partition by their ids."""

    def __init__(self) -> None:
        self.ids: list[MessageId] = []
        self.messages: dict[MessageId, Message] = {}

    def put(self, message: Message) -> None:
        """Add a message, or set it in the place of another."""
        if message.id not in self.messages:
            insort(self.ids, message.id)
        self.messages[message.id] = message

    def take(self, ids: Sequence[MessageId]) -> list[Message]:
        """Remove messages, many at the price of one; those that are missing are passed over."""
        taken = [self.messages.pop(id) for id in ids if id in self.messages]
        if len(taken) == 1:
            del self.ids[bisect_left(self.ids, taken[0].id)]
        elif taken:
            self.ids = [id for id in self.ids if id in self.messages]
        return taken

    def between(self, lower: MessageId, upper: MessageId, descending: bool) -> Iterable[MessageId]:
        """The ids of a range, without a copy of it."""
        places = range(bisect_left(self.ids, lower), bisect_left(self.ids, upper))
        return (self.ids[place] for place in (reversed(places) if descending else places))


@attrs.frozen
class Kept:
    """What was answered to a write that is done once.

    :ivar digest: of what was asked.
    :ivar appended: the answer to a repeat.
    :ivar expires: the first moment at which it is not remembered any more.
    :ivar bytes: that it takes.
    """

    digest: bytes
    appended: Appended
    expires: Ticks
    bytes: int


class Life:
    """One life of a queue.

    :ivar keys: what was answered to writes that are done once, by their keys.
    :ivar purged: the bound up to which it was purged.
    :ivar held: its messages, those included that expired and are not swept.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.partitions: dict[int, Partition] = {}
        self.keys: dict[bytes, Kept] = {}
        self.purged = LOWEST
        self.held = NOTHING

    def partition(self, number: int) -> Partition:
        """A partition to write to."""
        return self.partitions.setdefault(number, Partition())

    def find(self, address: Address) -> Message | None:
        """A message, expired or not."""
        partition = self.partitions.get(address.partition)
        return partition.messages.get(address.id) if partition else None

    def places(self, merge: Merge, stable: MessageId) -> Iterator[tuple[MessageId, int]]:
        """The ids and partitions of a merged range below a bound."""
        each = (self._places(number, merge, stable) for number in merge.partitions if number in self.partitions)
        return merged(*each, reverse=merge.descending)

    def _places(self, number: int, merge: Merge, stable: MessageId) -> Iterator[tuple[MessageId, int]]:
        lower, upper = merge.bounds(number)
        ids = self.partitions[number].between(lower, min(upper, stable), merge.descending)
        return ((id, number) for id in ids)

    def __len__(self) -> int:
        return sum(len(partition.messages) for partition in self.partitions.values())


class Taking:
    """One slice in the making.

    :param now: what has expired by then is passed over.
    :param stable: the bound below which scans show messages.
    """

    def __init__(self, now: Ticks, stable: MessageId) -> None:
        self.messages: list[Message] = []
        self._bytes = 0
        self._now = now
        self._stable = stable

    def full(self) -> bool:
        """Whether the slice ends here."""
        return len(self.messages) >= SLICE_ROWS or self._bytes >= SLICE_BYTES

    def take(self, message: Message) -> bool:
        """Take a message unless it has expired; whether it was taken."""
        if message.expires <= self._now:
            return False
        self.messages.append(message)
        self._bytes += len(message.content.body)
        return True

    def take_first(self, life: Life, window: Window) -> Window | None:
        """Read on in the first partition of a window; what is left of the window."""
        partition = life.partitions.get(window.partitions[0])
        lower, upper, limit = window.first()
        taken = 0
        if partition is not None and limit > 0:
            for id in partition.between(lower, min(upper, self._stable), window.descending):
                taken += self.take(partition.messages[id])
                if taken == limit:
                    break
                if self.full():
                    return window.after(id, taken)
        return window.next_partition()


class Room:
    """The bytes that the whole store may take."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def short(self, more: int) -> bool:
        """Whether ``more`` bytes do not fit; what makes the store smaller always fits."""
        return more > 0 and self.used + more > self._limit

    def error(self) -> StorageFull:
        """What to say then."""
        return StorageFull(f"The memory store may take {self._limit} bytes, and they are used up.")


@implementer(IStateStore)
class MemoryStates:
    """Values under compare-and-set in dicts, by the first part of their keys and by the whole."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._states: dict[str, dict[str, State]] = {}
        self.open = False

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return succeed(self.find(key)) if self.open else fail(closed())

    def find(self, key: str) -> State | None:
        """The value of a key, if there is one."""
        return self._states.get(_first_part(key), {}).get(key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        if value is not None and len(value) > MAX_STATE:
            raise ValueError(f"a state has at most {MAX_STATE} bytes")
        if not self.open:
            return fail(closed())
        return maybeDeferred(self._replace, key, version, value, fresh)

    def _replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        old = self.find(key)
        if (old.version if old else None) != version:
            return Outcome.REFUSED
        more = self._cost(key, value) - self._cost(key, old.value if old else None)
        if self._room.short(more):
            raise self._room.error()
        self._room.used += more
        first = _first_part(key)
        if value is not None:
            self._states.setdefault(first, {})[key] = State(value, fresh)
        elif old is not None:
            del self._states[first][key]
            if not self._states[first]:
                del self._states[first]
        return Outcome.APPLIED

    def forget(self, incarnation: int) -> None:
        """Remove what belongs to a life of a queue that has ended."""
        for key, state in self._states.pop(_first_part(states_prefix(incarnation)), {}).items():
            self._room.used -= self._cost(key, state.value)

    def _cost(self, key: str, value: bytes | None) -> int:
        return 0 if value is None else OVERHEAD + len(key) + len(value)


def _first_part(key: str) -> str:
    """What comes before the first slash of a key: of all that belong to a life of a queue it is the same."""
    return key.partition("/")[0]


def _nothing(incarnation: int) -> None:
    """Ignore an arrival: the callback until ``subscribe`` sets another one."""


def closed() -> Unavailable:
    """What everything fails with before ``open`` and after ``close``."""
    return Unavailable("The store is closed.")


@implementer(IStore)
class MemoryStore:
    """All of a store in dicts and sorted lists; everything ends with the process.

    :param clock: whose timers sweep what has expired.
    :param now: the wall clock, in seconds since 1970.
    :param max_bytes: what the store may take in all; whatever does not fit is refused.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never there before.
    :param bits: makes as many random bits as it is asked for.
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
        self._now = now
        self._node = node
        self._clock_sequence = clock_sequence
        self._new_version = new_version
        self._bits = bits
        self._room = Room(max_bytes)
        self.states = MemoryStates(self._room)
        self._lives: dict[int, Life] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._names: dict[str, list[str]] = {}
        self._usage: dict[str, Held] = {}
        self._expiry: DueHeap[Place] = DueHeap()
        self._future: DueHeap[Place] = DueHeap()
        self._forgetting: DueHeap[tuple[int, bytes]] = DueHeap()
        self._last = Ticks(0)
        self._incarnation = 0
        self._tell: Callable[[int], None] = _nothing
        self._arrived: set[int] = set()
        self._timer: IDelayedCall | None = None
        self.metrics: Sequence[Metric] = (stable_time_age(self._stable_age),)
        self._groups = MemoryGroups(self, self._room, bits)
        self.groups: IGroupStore = self._groups

    # The store as a whole

    def open(self) -> None:
        """See IStore; this cannot fail."""
        self.states.open = True
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
        self.states.open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return succeed(None)

    def _stable_age(self) -> float:
        """Everything that is stored shows at once; only a clock that was set back falls behind what was stored."""
        return min(0.0, self._now() - to_seconds(self._last))

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self.when_open(lambda: None)

    def when_open(self, function: Callable[[], T]) -> Deferred[T]:
        """Call a function if the store is open."""
        return maybeDeferred(function) if self._timer is not None else fail(closed())

    def _tick(self) -> None:
        self.stable()
        self._sweep()
        self._timer = self._clock.callLater(self._pause(), self._tick)
        arrived, self._arrived = self._arrived, set()
        for incarnation in sorted(arrived):
            self._tell(incarnation)

    def _pause(self) -> float:
        """Seconds to the next sweep, or until something falls due."""
        due = self._future.first()
        return SWEEP if due is None else min(SWEEP, max(SOONEST, to_seconds(due) - self._now()))

    def _await(self, place: Place) -> None:
        """Hear of a message of the future, and look when it falls due."""
        self._future.put(place, ticks_of(place[2]))
        pause = self._pause()
        if self._timer is not None and pause < self._timer.getTime() - self._clock.seconds():
            self._timer.reset(pause)

    def ticks(self) -> Ticks:
        """The time."""
        return from_seconds(self._now())

    def stable(self) -> Ticks:
        """The last time that reads show: that of the last id made, or of a later one of the future that is due."""
        # What later ids have passed shows already, though the clock may have been set back since.
        for incarnation, _, id in self._future.due(max(self.ticks(), self._last)):
            self._last = max(self._last, ticks_of(id))
            self._arrived.add(incarnation)
        return self._last

    def _sweep(self) -> None:
        gone: dict[tuple[int, int], list[MessageId]] = {}
        for incarnation, partition, id in self._expiry.due(self.ticks()):
            gone.setdefault((incarnation, partition), []).append(id)
        for (incarnation, number), ids in gone.items():
            self._take(self._lives[incarnation], number, ids)
        for incarnation, key in self._forgetting.due(self.ticks()):
            self._room.used -= self._lives[incarnation].keys.pop(key).bytes

    def row(self, key: str) -> bytes | None:
        """The value of a state, if there is one."""
        found = self.states.find(key)
        return None if found is None else found.value

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self.when_open(lambda: self._append(queue, messages, terms))

    def _append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, beside: int = 0
    ) -> tuple[MessageId, ...]:
        """Store messages, if they have room with so many bytes beside them."""
        life = self.life(queue)
        self._reserve(life, sum(new.content.size for new in messages), len(messages), terms, beside)
        now = self.ticks()
        fresh = max(self._last, now) + 1
        return tuple(self._add(life, new, now, Ticks(fresh + place)) for place, new in enumerate(messages))

    def _add(self, life: Life, new: NewMessage, now: Ticks, fresh: Ticks) -> MessageId:
        due = Ticks(max(fresh, self._last + 1) + new.delay) if new.delay else None
        messages = life.partition(new.partition).messages
        id = self._make_id(now, due)
        while id in messages:  # a client may have put its own message under an id that it foresaw
            id = self._make_id(now, due)
        born = now if due is None else due
        self._put(life, Message(new.partition, id, new.content, Ticks(born + new.ttl * SECOND)))
        if due is not None:
            self._await((life.queue.incarnation, new.partition, id))
        return id

    def _make_id(self, now: Ticks, due: Ticks | None) -> MessageId:
        return self._new_id(now) if due is None else make_random(due, self._bits(RANDOM_BITS))

    def _new_id(self, now: Ticks) -> MessageId:
        self._last = Ticks(max(self._last, now) + 1)
        return make(self._last, self._clock_sequence, self._node)

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self.when_open(lambda: self._append_once(queue, messages, terms, once))

    def _append_once(self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once) -> Appended:
        life, now = self.life(queue), self.ticks()
        kept = life.keys.get(once.key)
        if kept is not None and kept.expires > now:
            if kept.digest != once.digest:
                raise key_reused()
            return kept.appended
        size = OVERHEAD + len(once.note) + ADDRESS * len(messages)
        ids = self._append(queue, messages, terms, size)
        addresses = tuple(Address(new.partition, id) for new, id in zip(messages, ids, strict=True))
        expires = Ticks(now + once.lifetime * SECOND)
        self._keep(life, once.key, Kept(once.digest, Appended(addresses, once.note, True), expires, size))
        return Appended(addresses, once.note, False)

    def _keep(self, life: Life, key: bytes, kept: Kept) -> None:
        """Remember an answer, whose room is counted already."""
        old = life.keys.get(key)
        if old is not None:
            self._room.used -= old.bytes
        life.keys[key] = kept
        self._forgetting.put((life.queue.incarnation, key), kept.expires)

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore; only messages that must stay hidden are newer than the stable time."""
        return self.when_open(lambda: self._merge(queue, merge))

    def _merge(self, queue: Queue, merge: Merge) -> MergeSlice:
        life, stable = self._lives.get(queue.incarnation), upper_bound(self.stable())
        merging = Merging(merge, self.ticks())
        if life is None:
            return merging.slice((), stable, LOWEST)
        found: list[Message] = []
        for id, number in life.places(merge, stable):
            message = life.partitions[number].messages[id]
            if merging.take(id, number, message.expires, len(message.content.body)):
                found.append(message)
            elif merging.full:
                break
        return merging.slice(tuple(found), stable, life.purged)

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self.when_open(lambda: self._scan(queue, window))

    def _scan(self, queue: Queue, window: Window) -> WindowSlice:
        life = self._lives.get(queue.incarnation)
        taking = Taking(self.ticks(), upper_bound(self.stable()))
        rest: Window | None = window if life and window.partitions else None
        while life and rest is not None and not taking.full():
            rest = taking.take_first(life, rest)
        return WindowSlice(tuple(taking.messages), rest)

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self.when_open(lambda: self._lookup(queue, addresses))

    def _lookup(self, queue: Queue, addresses: Sequence[Address]) -> LookupSlice:
        life = self._lives.get(queue.incarnation)
        taking = Taking(self.ticks(), HIGHEST)
        for place, address in enumerate(addresses if life else ()):
            if taking.full():
                return LookupSlice(tuple(taking.messages), tuple(addresses[place:]))
            message = life.find(address) if life else None
            if message is not None:
                taking.take(message)
        return LookupSlice(tuple(taking.messages), None)

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self.when_open(lambda: self._replace(queue, addresses, content, ttl, terms))

    def _replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> None:
        life = self.life(queue)
        self._sweep()  # what is replaced is not to be swept while it is counted
        addresses = tuple(dict.fromkeys(addresses))
        old = [message for address in addresses if (message := life.find(address))]
        more = content.size * len(addresses) - sum(message.content.size for message in old)
        self._reserve(life, more, len(addresses) - len(old), terms)
        for address in addresses:
            self._set(life, address, content, ttl)

    def _set(self, life: Life, address: Address, content: Content, ttl: int) -> None:
        """Store a message under a given id, which is shown if its time has come."""
        now, ticks = self.ticks(), ticks_of(address.id)
        if ticks <= max(self._last, now):
            self._last = max(self._last, ticks)
        else:
            self._await((life.queue.incarnation, address.partition, address.id))
        self._put(life, Message(address.partition, address.id, content, Ticks(now + ttl * SECOND)))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self.when_open(lambda: self._put_one(queue, address, content, ttl, condition, terms))

    def _put_one(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> bool:
        life = self.life(queue)
        self._sweep()
        old = life.find(address)
        check_condition(condition, old)
        if old is None:
            check_new_id(address.id, max(self._last, self.ticks()))
        self._reserve(life, content.size - (old.content.size if old else 0), 0 if old else 1, terms)
        self._set(life, address, content, ttl)
        return old is None

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return restore(self, queue, messages, terms, self.ticks)

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self.when_open(lambda: self._remove(queue, addresses))

    def _remove(self, queue: Queue, addresses: Sequence[Address]) -> int:
        life = self.life(queue)
        now = self.ticks()
        ids: dict[int, list[MessageId]] = {}
        for address in dict.fromkeys(addresses):
            if address.partition in life.partitions:
                ids.setdefault(address.partition, []).append(address.id)
        taken = [message for number, some in ids.items() for message in self._take(life, number, some)]
        return sum(message.expires > now for message in taken)

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self.when_open(lambda: self._purge(queue, before))

    def _purge(self, queue: Queue, before: MessageId) -> None:
        life = self.life(queue)
        bound = min(before, upper_bound(self.stable()))
        life.purged = max(life.purged, bound)
        for number, partition in list(life.partitions.items()):
            self._take(life, number, partition.ids[: bisect_left(partition.ids, bound)])

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self.when_open(lambda: self._count(queue))

    def _count(self, queue: Queue) -> int:
        self._sweep()
        life = self._lives.get(queue.incarnation)
        return len(life) if life else 0

    def life(self, queue: Queue) -> Life:
        """A queue that was not deleted."""
        life = self._lives.get(queue.incarnation)
        if life is None:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
        return life

    def _put(self, life: Life, message: Message) -> None:
        life.partition(message.partition).put(message)
        self._expiry.put((life.queue.incarnation, message.partition, message.id), message.expires)

    def _take(self, life: Life, number: int, ids: Sequence[MessageId]) -> list[Message]:
        """Remove messages of one partition, and all that is known of them."""
        partition = life.partitions[number]
        taken = partition.take(ids)
        if not partition.ids:
            del life.partitions[number]
        for message in taken:
            place = (life.queue.incarnation, number, message.id)
            self._expiry.drop(place)
            self._future.drop(place)
        self._charge(life, -sum(message.content.size for message in taken), -len(taken))
        return taken

    def _reserve(self, life: Life, more: int, messages: int, terms: WriteTerms, beside: int = 0) -> None:
        """Count what is about to be stored, or refuse it.

        :param beside: bytes that count for the store alone, and not for its application.
        """
        room, asked = more + messages * OVERHEAD + beside, Held(messages, more)
        if self._room.short(room) or terms.limited:
            self._sweep()
        check_room(terms, self._usage.get(life.queue.application, NOTHING), life.held, asked)
        if self._room.short(room):
            raise self._room.error()
        self._charge(life, more, messages)
        self._room.used += beside

    def _charge(self, life: Life, more: int, messages: int) -> None:
        application = life.queue.application
        before = self._usage.get(application, NOTHING)
        self._usage[application] = Held(before.messages + messages, before.bytes + more)
        life.held = Held(life.held.messages + messages, life.held.bytes + more)
        self._room.used += more + messages * OVERHEAD

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self.when_open(lambda: self._create(application, name, settings, max_queues))

    def _create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> tuple[Queue, bool]:
        queues = self._queues.setdefault(application, {})
        if name in queues:
            return self._lives[queues[name]].queue, False
        if max_queues is not None and len(queues) >= max_queues:
            raise StorageFull(f"The application may have {max_queues} queues, and has them.", limit="max_queues")
        if self._room.short(OVERHEAD):
            raise self._room.error()
        self._room.used += OVERHEAD
        self._incarnation += 1
        queue = Queue(application, name, settings, self._incarnation, self._new_version(), self.ticks())
        queues[name] = queue.incarnation
        self._lives[queue.incarnation] = Life(queue)
        insort(self._names.setdefault(application, []), name)
        return queue, True

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self.when_open(lambda: self._update(queue, settings))

    def _update(self, queue: Queue, settings: QueueSettings) -> Queue:
        life = self.life(queue)
        if life.queue.version != queue.version:
            raise Conflict(f'The queue "{queue.name}" was changed meanwhile.')
        life.queue = attrs.evolve(life.queue, settings=settings, version=self._new_version())
        return life.queue

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self.when_open(lambda: self._forget(queue))

    def _forget(self, queue: Queue) -> bool:
        life = self._lives.get(queue.incarnation)
        if life is None:
            return False
        for number, partition in list(life.partitions.items()):
            self._take(life, number, partition.ids)
        for key, kept in life.keys.items():
            self._forgetting.drop((queue.incarnation, key))
            self._room.used -= kept.bytes
        self.states.forget(queue.incarnation)
        self._groups.forget(queue.incarnation)
        del self._lives[queue.incarnation]
        del self._queues[life.queue.application][life.queue.name]
        names = self._names[life.queue.application]
        del names[bisect_left(names, life.queue.name)]
        self._room.used -= OVERHEAD
        return True

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self.when_open(lambda: self._list(application, max(start, prefix), limit, prefix))

    def _list(self, application: str, start: str, limit: int, prefix: str) -> tuple[str, ...]:
        names = self._names.get(application, [])
        first = bisect_left(names, start)
        end = first
        while end < len(names) and end - first < limit and names[end].startswith(prefix):
            end += 1
        return tuple(names[first:end])

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self.when_open(lambda: self._describe(application, names))

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore; this store has no cache."""
        return None

    def _describe(self, application: str, names: Sequence[str]) -> tuple[Queue | None, ...]:
        queues = self._queues.get(application, {})
        return tuple(self._lives[queues[name]].queue if name in queues else None for name in names)
