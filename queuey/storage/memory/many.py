"""Many queues of the memory store read as one log; see IMessageStore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge as merged

from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ChangedQueue, Changes, ManyMerging, ManyRange, ManySlice, number_of
from queuey.model.timeid import MessageId, upper_bound
from queuey.storage.memory.data import QueueData, StoreData

Place = tuple[MessageId, int, int, int]
"""The place of a message: its id, the number of its queue, its partition; and the incarnation of the queue."""


def read_many(store: StoreData, queues: Sequence[Queue], asked: ManyRange) -> ManySlice:
    """Read a range of many queues; the only messages above the stable time are those that must stay hidden."""
    stable = upper_bound(store.stable())
    found = [store.queues[queue.incarnation] for queue in queues if queue.incarnation in store.queues]
    merging = ManyMerging(asked, store.ticks())
    for id, _, partition, incarnation in merged(*[_places(data, asked, stable) for data in found]):
        message = store.queues[incarnation].partitions[partition].messages[id]
        if merging.take(incarnation, id, partition, message.expires, len(message.content.body)):
            merging.add(incarnation, message)
        elif merging.full:
            break
    purged = tuple([(data.queue.incarnation, data.purged) for data in found if data.purged > asked.lower.id])
    ended = tuple([queue.incarnation for queue in queues if queue.incarnation not in store.queues])
    return merging.slice(stable, purged, ended)


def _places(data: QueueData, asked: ManyRange, stable: MessageId) -> Iterator[Place]:
    """Return the places of a queue's messages in a range, in their order."""
    incarnation = data.queue.incarnation
    number = number_of(incarnation)
    merge = asked.within(incarnation, tuple(sorted(data.partitions)))
    return ((id, number, partition, incarnation) for id, partition in data.places(merge, stable))


def changes(store: StoreData, mark: int | None) -> Changes:
    """Return the queues that were changed since a mark."""
    stable = upper_bound(store.stable())
    store.change_log.commit()
    mark, numbers, over = store.change_log.since(mark, store.change_log.committed)
    if numbers is None:
        return Changes(mark, stable, None)
    queues = [store.queues[number].queue for number in sorted(numbers) if number in store.queues]
    found = tuple([ChangedQueue(one.incarnation, one.application, one.name, one.version) for one in queues])
    ended = tuple(sorted(number for number in numbers if number not in store.queues))
    return Changes(mark, stable, found, ended, over)
