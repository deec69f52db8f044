"""Queues of the memory store, by application and name; see IQueueStore."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import attrs

from queuey.errors import Conflict
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.storage.memory.data import OVERHEAD, QueueData, StoreData
from queuey.storage.refusals import too_many_queues


class MemoryQueues:
    """The names of the queues of each application."""

    def __init__(self, data: StoreData) -> None:
        self._data = data
        self._queues: dict[str, dict[str, int]] = {}
        self._names: dict[str, list[str]] = {}
        self._incarnation = 0

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> tuple[Queue, bool]:
        """Return the queue of a name, and whether it was created now."""
        queues, space = self._queues.setdefault(application, {}), self._data.space
        if name in queues:
            return self._data.queues[queues[name]].queue, False
        if max_queues is not None and len(queues) >= max_queues:
            raise too_many_queues(max_queues)
        if space.short(OVERHEAD):
            raise space.error()
        space.used += OVERHEAD
        self._incarnation += 1
        version, created = self._data.new_version(), self._data.ticks()
        queue = Queue(application, name, settings, self._incarnation, version, created)
        queues[name] = queue.incarnation
        self._data.queues[queue.incarnation] = QueueData(queue)
        insort(self._names.setdefault(application, []), name)
        self._data.change_log.add((queue.incarnation,))
        return queue, True

    def update(self, queue: Queue, settings: QueueSettings) -> Queue:
        """Change the settings of a queue if its version is the current one."""
        data = self._data.queue(queue)
        if data.queue.version != queue.version:
            raise Conflict(f'The queue "{queue.name}" was changed meanwhile.')
        data.queue = attrs.evolve(data.queue, settings=settings, version=self._data.new_version())
        self._data.change_log.add((queue.incarnation,))
        return data.queue

    def forget(self, queue: Queue) -> bool:
        """Delete a queue with its messages and stored answers; return whether there was one."""
        data = self._data.queues.get(queue.incarnation)
        if data is None:
            return False
        for number, partition in list(data.partitions.items()):
            self._data.take(data, number, partition.ids)
        for key, kept in data.keys.items():
            self._data.forgetting.drop((queue.incarnation, key))
            self._data.space.used -= kept.bytes
        del self._data.queues[queue.incarnation]
        del self._queues[data.queue.application][data.queue.name]
        names = self._names[data.queue.application]
        del names[bisect_left(names, data.queue.name)]
        self._data.space.used -= OVERHEAD
        self._data.change_log.add((queue.incarnation,))
        return True

    def names(self, application: str, start: str, limit: int, prefix: str) -> tuple[str, ...]:
        """Return names with a prefix, from ``start`` on."""
        names = self._names.get(application, [])
        first = bisect_left(names, max(start, prefix))
        end = first
        while end < len(names) and end - first < limit and names[end].startswith(prefix):
            end += 1
        return tuple(names[first:end])

    def describe(self, application: str, names: Sequence[str]) -> tuple[Queue | None, ...]:
        """Return the queues with these names."""
        queues = self._queues.get(application, {})
        return tuple(self._data.queues[queues[name]].queue if name in queues else None for name in names)
