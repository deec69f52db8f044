"""A store whose changes are announced to all who keep something of it at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.deferreds import deferred, shield
from queuey.interfaces import IGroupStore, IStateStore, IStore, Promises
from queuey.model.counts import Metric
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId
from queuey.model.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.storage.caching import Change

T = TypeVar("T")


class Audience(Protocol):
    """Whoever keeps something at hand."""

    def begin(self, change: Change) -> Deferred[None]:
        """Fires, and never fails, once no process can serve from a cache what is changed."""

    def end(self, change: Change) -> None:
        """Let it be kept at hand again."""

    def arrived(self, incarnation: int) -> None:
        """Learn that there may be more in a queue."""


@implementer(IStore)
class AnnouncedStore:
    """Any store; a change begins once no process can serve from a cache what it changes."""

    def __init__(self, store: IStore, audience: Audience) -> None:
        self._store = store
        self._audience = audience
        self.states: IStateStore = store.states
        self.groups: IGroupStore = store.groups

    @property
    def promises(self) -> Promises:
        """See IStore."""
        return self._store.promises

    @property
    def metrics(self) -> Sequence[Metric]:
        """See IStore."""
        return self._store.metrics

    def open(self) -> None:
        """See IStore."""
        self._store.open()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return self._store.opened()

    def watch(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore; the audience is told too."""

        def tell(incarnation: int) -> None:
            self._audience.arrived(incarnation)
            arrived(incarnation)

        return self._store.watch(tell)

    def close(self) -> Deferred[None]:
        """See IStore."""
        return self._store.close()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._store.ping()

    def troubles(self) -> Mapping[str, str]:
        """See IStore."""
        return self._store.troubles()

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self._store.append(queue, messages, terms)

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._store.append_once(queue, messages, terms, once)

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._store.merge(queue, merge, ack)

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._store.scan(queue, window, ack)

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._store.lookup(queue, addresses, ack)

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._changing(
            Change(pages=queue.incarnation), lambda: self._store.replace(queue, addresses, content, ttl, terms)
        )

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._changing(
            Change(pages=queue.incarnation), lambda: self._store.put(queue, address, content, ttl, condition, terms)
        )

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._changing(Change(pages=queue.incarnation), lambda: self._store.restore(queue, messages, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._changing(Change(pages=queue.incarnation), lambda: self._store.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._changing(Change(pages=queue.incarnation), lambda: self._store.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._store.count(queue, ack)

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore; that a queue is absent is not kept at hand."""
        return self._store.create(application, name, settings, max_queues)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._changing(
            Change(names=(queue.application, queue.name)), lambda: self._store.update(queue, settings)
        )

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._changing(
            Change((queue.application, queue.name), queue.incarnation), lambda: self._store.forget(queue)
        )

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._store.names(application, start, limit, prefix)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._store.describe(application, names)

    def at_hand(self, application: str, name: str) -> Queue | None:
        """See IQueueStore."""
        return self._store.at_hand(application, name)

    def _changing(self, change: Change, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Do some work while no process can serve from a cache what it changes; cancelling does not stop it."""
        return shield(self._change(change, work))

    @deferred
    async def _change(self, change: Change, work: Callable[[], Deferred[T]]) -> T:
        await self._audience.begin(change)
        try:
            return await work()
        finally:
            self._audience.end(change)
