"""Operations of the memory store on messages; see IMessageStore."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import attrs

from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import EMPTY, Depth
from queuey.model.reading.window import (
    SLICE_BYTES,
    SLICE_ROWS,
    LookupSlice,
    Merge,
    MergeSlice,
    Merging,
    Window,
    WindowSlice,
)
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, MessageId, Ticks, ticks_of, upper_bound
from queuey.storage.memory.data import OVERHEAD, Kept, QueueData, StoreData
from queuey.storage.refusals import check_condition, check_new_id, key_reused

ADDRESS: Final = 192
"""Bytes that a stored answer takes for each message in it."""


def append(
    store: StoreData, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, beside: int = 0
) -> tuple[MessageId, ...]:
    """Store messages under new ids.

    :param beside: bytes to reserve besides.
    """
    data = store.open_queue(queue)
    store.reserve(data, sum(new.content.size for new in messages), len(messages), terms, beside)
    now = store.ticks()
    fresh = max(store.last, now) + 1
    return tuple(_add(store, data, new, now, Ticks(fresh + place)) for place, new in enumerate(messages))


def _add(store: StoreData, data: QueueData, new: NewMessage, now: Ticks, fresh: Ticks) -> MessageId:
    due = Ticks(max(fresh, store.last + 1) + new.delay) if new.delay else None
    messages = data.partition(new.partition).messages
    id = store.make_id(now, due)
    while id in messages:  # a client may have put its own message under an id that it foresaw
        id = store.make_id(now, due)
    born = now if due is None else due
    store.put(data, Message(new.partition, id, new.content, Ticks(born + new.ttl * SECOND)))
    if due is not None:
        store.show_later((data.queue.incarnation, new.partition, id))
    return id


def append_once(
    store: StoreData, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
) -> Appended:
    """Store messages, unless that was done before under the same key."""
    data, now = store.queue(queue), store.ticks()
    kept = data.keys.get(once.key)
    if kept is not None and kept.expires > now:
        if kept.digest != once.digest:
            raise key_reused()
        return kept.appended
    size = OVERHEAD + len(once.note) + ADDRESS * len(messages)
    ids = append(store, queue, messages, terms, size)
    addresses = tuple(Address(new.partition, id) for new, id in zip(messages, ids, strict=True))
    expires = Ticks(now + once.lifetime * SECOND)
    _keep(store, data, once.key, Kept(once.digest, Appended(addresses, once.note, True), expires, size))
    return Appended(addresses, once.note, False)


def _keep(store: StoreData, data: QueueData, key: bytes, kept: Kept) -> None:
    """Store an answer whose space is reserved."""
    old = data.keys.get(key)
    if old is not None:
        store.space.used -= old.bytes
    data.keys[key] = kept
    store.forgetting.put((data.queue.incarnation, key), kept.expires)


def close_queue(
    store: StoreData, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
) -> Appended:
    """Store the last messages of a queue, and close it."""
    data, appended = store.queue(queue), Appended((), "", False)
    if once is not None:
        appended = append_once(store, queue, messages, terms, once)
    elif messages:
        ids = append(store, queue, messages, terms)
        appended = Appended(tuple(Address(new.partition, id) for new, id in zip(messages, ids, strict=True)), "", False)
    if data.queue.closed is None:
        last = max((part.ids[-1] for part in data.partitions.values() if part.ids), default=LOWEST)
        data.queue = attrs.evolve(data.queue, closed=ticks_of(last), version=store.new_version())
        store.change_log.add((data.queue.incarnation,))
    return appended


def read_merged(store: StoreData, queue: Queue, merge: Merge) -> MergeSlice:
    """Read a merged range; the only messages above the stable time are those that must stay hidden."""
    data, stable = store.queues.get(queue.incarnation), upper_bound(store.stable())
    merging = Merging(merge, store.ticks())
    if data is None:
        return merging.slice((), stable, LOWEST)
    found: list[Message] = []
    for id, number in data.places(merge, stable):
        message = data.partitions[number].messages[id]
        if merging.take(id, number, message.expires, len(message.content.body)):
            found.append(message)
        elif merging.full:
            break
    return merging.slice(tuple(found), stable, data.purged)


def read_range(store: StoreData, queue: Queue, window: Window) -> WindowSlice:
    """Read a range, partition by partition."""
    data = store.queues.get(queue.incarnation)
    slice = _Slice(store.ticks(), upper_bound(store.stable()))
    rest: Window | None = window if data and window.partitions else None
    while data and rest is not None and not slice.full():
        rest = slice.take_first(data, rest)
    return WindowSlice(tuple(slice.messages), rest)


def lookup(store: StoreData, queue: Queue, addresses: Sequence[Address]) -> LookupSlice:
    """Read the messages at some addresses."""
    data = store.queues.get(queue.incarnation)
    slice = _Slice(store.ticks(), HIGHEST)
    for place, address in enumerate(addresses if data else ()):
        if slice.full():
            return LookupSlice(tuple(slice.messages), tuple(addresses[place:]))
        message = data.find(address) if data else None
        if message is not None:
            slice.take(message)
    return LookupSlice(tuple(slice.messages), None)


class _Slice:
    """One slice, while it is read.

    :param now: messages that have expired by then are skipped.
    :param stable: the bound below which ranges show messages.
    """

    def __init__(self, now: Ticks, stable: MessageId) -> None:
        self.messages: list[Message] = []
        self._bytes = 0
        self._now = now
        self._stable = stable

    def full(self) -> bool:
        """Return whether the slice ends here."""
        return len(self.messages) >= SLICE_ROWS or self._bytes >= SLICE_BYTES

    def take(self, message: Message) -> bool:
        """Add a message unless it has expired; return whether it was added."""
        if message.expires <= self._now:
            return False
        self.messages.append(message)
        self._bytes += len(message.content.body)
        return True

    def take_first(self, data: QueueData, window: Window) -> Window | None:
        """Read on in the first partition of a window; return what is left of the window."""
        partition = data.partitions.get(window.partitions[0])
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


def replace(
    store: StoreData, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
) -> None:
    """Store one content under given ids."""
    data = store.queue(queue)
    store.sweep()  # so that no replaced message is swept while the space is counted
    addresses = tuple(dict.fromkeys(addresses))
    old = [message for address in addresses if (message := data.find(address))]
    if len(old) < len(addresses):
        store.open_queue(queue)
    more = content.size * len(addresses) - sum(message.content.size for message in old)
    store.reserve(data, more, len(addresses) - len(old), terms)
    for address in addresses:
        _set(store, data, address, content, ttl)


def _set(store: StoreData, data: QueueData, address: Address, content: Content, ttl: int) -> None:
    """Store a message under a given id; it is hidden until its time if that is in the future."""
    now, ticks = store.ticks(), ticks_of(address.id)
    if ticks <= max(store.last, now):
        store.last = max(store.last, ticks)
    else:
        store.show_later((data.queue.incarnation, address.partition, address.id))
    store.put(data, Message(address.partition, address.id, content, Ticks(now + ttl * SECOND)))


def put(
    store: StoreData,
    queue: Queue,
    address: Address,
    content: Content,
    ttl: int,
    condition: Condition,
    terms: WriteTerms,
) -> bool:
    """Store a message under a given id if a condition holds; return whether it is new."""
    data = store.queue(queue)
    store.sweep()
    old = data.find(address)
    check_condition(condition, old)
    if old is None:
        store.open_queue(queue)
        check_new_id(address.id, max(store.last, store.ticks()))
    store.reserve(data, content.size - (old.content.size if old else 0), 0 if old else 1, terms)
    _set(store, data, address, content, ttl)
    return old is None


def remove(store: StoreData, queue: Queue, addresses: Sequence[Address]) -> int:
    """Delete messages; return how many of them had not expired."""
    data = store.queue(queue)
    now = store.ticks()
    ids: dict[int, list[MessageId]] = {}
    for address in dict.fromkeys(addresses):
        if address.partition in data.partitions:
            ids.setdefault(address.partition, []).append(address.id)
    taken = [message for number, some in ids.items() for message in store.take(data, number, some)]
    return sum(message.expires > now for message in taken)


def purge(store: StoreData, queue: Queue, before: MessageId) -> None:
    """Delete all messages below a bound and below the stable time."""
    data = store.queue(queue)
    bound = min(before, upper_bound(store.stable()))
    data.purged = max(data.purged, bound)
    for number, partition in list(data.partitions.items()):
        store.take(data, number, partition.ids[: bisect_left(partition.ids, bound)])


def delayed(store: StoreData, queue: Queue, limit: int) -> tuple[Address, ...]:
    """Return the addresses of messages above the stable time; none if the queue was deleted."""
    store.sweep()
    bound, data = upper_bound(store.stable()), store.queues.get(queue.incarnation)
    found: list[Address] = []
    for number, partition in data.partitions.items() if data else ():
        start = bisect_left(partition.ids, bound)
        found += [Address(number, id) for id in partition.ids[start : start + limit - len(found)]]
    return tuple(found)


def count(store: StoreData, queue: Queue) -> int:
    """Return how many messages a queue has; 0 if it was deleted."""
    store.sweep()
    data = store.queues.get(queue.incarnation)
    return len(data) if data else 0


def measure(store: StoreData, queue: Queue) -> Depth:
    """Return what a queue holds; it is empty if the queue was deleted."""
    store.sweep()
    data, stable = store.queues.get(queue.incarnation), upper_bound(store.stable())
    if data is None:
        return EMPTY
    # Partitions that have no message are dropped, so each has a first one.
    first = min((partition.ids[0] for partition in data.partitions.values() if partition.ids), default=stable)
    return Depth(data.held.messages, data.held.bytes, ticks_of(first) if first < stable else None, approximate=False)
