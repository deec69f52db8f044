"""A store that remembers queues and pages that were asked for, for stores that one process has to itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.deferreds import shield
from queuey.interfaces import IGroupStore, IStateStore, IStore, Promises
from queuey.model.counts import Metric
from queuey.model.message import Address, Condition, Content, Message
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId, from_seconds
from queuey.model.window import LookupSlice, Merge, MergeSlice, Slice, Window, WindowSlice
from queuey.storage.pages import Pages, Range, SomeSlice, Told

Name = tuple[str, str]
T = TypeVar("T")


@attrs.frozen
class Change:
    """What somebody is about to change.

    :ivar names: the application and the name of a queue whose settings, or whose life.
    :ivar pages: the incarnation of a queue whose messages, other than by appending to it.
    """

    names: Name | None = None
    pages: int | None = None


class Memory:
    """Queues by name, the least used of which make room for new ones, and none of which is older than a change.

    Whoever asks the store and then puts in what was answered does so within ``begin`` and ``end``: what was changed
    meanwhile is not put in, for the answer may be from before the change. That a queue is absent is not remembered.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._queues: dict[Name, Queue] = {}
        self._asking: dict[object, set[Name]] = {}
        self._held: dict[Name, int] = {}

    def get(self, name: Name) -> Queue | None:
        """A queue, which is then the most recently used."""
        queue = self._queues.pop(name, None)
        if queue is not None:
            self._queues[name] = queue
        return queue

    def change(self, name: Name) -> None:
        """Forget a queue: its change begins, or is over."""
        self._queues.pop(name, None)
        for changed in self._asking.values():
            changed.add(name)

    def hold(self, name: Name) -> None:
        """Remember a queue no more, until as many calls of ``release``."""
        self._held[name] = self._held.get(name, 0) + 1
        self.change(name)

    def release(self, name: Name) -> None:
        """Let a queue be remembered again, by who asks for it from now on."""
        self.change(name)
        left = self._held.pop(name) - 1
        if left:
            self._held[name] = left

    def begin(self) -> object:
        """Begin to ask the store; returns what ``end`` takes."""
        asking = object()
        self._asking[asking] = set()
        return asking

    def end(self, asking: object, queues: Sequence[Queue | None]) -> None:
        """Put in what the store answered; nothing where it failed."""
        changed = self._asking.pop(asking)
        for queue in queues:
            if queue is None:
                continue
            name = (queue.application, queue.name)
            if name not in changed and name not in self._held:
                self._put(name, queue)

    def _put(self, name: Name, queue: Queue) -> None:
        self._queues.pop(name, None)
        self._queues[name] = queue
        if len(self._queues) > self._size:
            del self._queues[next(iter(self._queues))]


@implementer(IStore)
class CachedStore:
    """Any store, with the queues it described last and the pages it gave last kept in the reactor.

    It must be the only way to the store, or be told of all that others change in it: see ``change_elsewhere``.

    :param told: the store's own wall clock.
    :param queues: how many to remember at the most.
    :param pages: bytes that pages may take; see ``Pages``.
    :param usable: whether what is kept may be used now; if not, the store is asked.
    """

    def __init__(
        self, store: IStore, told: Told, queues: int, pages: int, usable: Callable[[], bool] | None = None
    ) -> None:
        self._store = store
        self._usable = usable
        self._told = told
        self._memory = Memory(queues)
        self._pages = Pages(pages)
        self.states: IStateStore = store.states
        self.groups: IGroupStore = store.groups
        self.promises: Promises = store.promises
        self.metrics: Sequence[Metric] = store.metrics
        self._closed = False
        # What only goes on to the store goes there at once.
        self.append = store.append
        self.append_once = store.append_once

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
        """See IStore."""
        self._closed = True
        self._pages.clear()
        return self._store.close()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._store.ping()

    def _uses(self) -> bool:
        """Whether what is kept may be used now."""
        return not self._closed and (self._usable is None or self._usable())

    def change_elsewhere(self, change: Change) -> None:
        """Let go of what somebody else is about to change, and keep none of it until ``changed_elsewhere``."""
        if change.names is not None:
            self._memory.hold(change.names)
        if change.pages is not None:
            self._pages.change(change.pages)

    def changed_elsewhere(self, change: Change) -> None:
        """Learn that such a change is over."""
        if change.names is not None:
            self._memory.release(change.names)
        if change.pages is not None:
            self._pages.changed(change.pages)

    # Messages

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore; a page that is kept is answered at once, where the reader is glad of one."""
        if not merge.kept or not self._uses():
            return self._store.merge(queue, merge, ack)
        page = self._pages.get(queue.incarnation, merge, from_seconds(self._told.latest()))
        if isinstance(page, MergeSlice):
            return succeed(page)
        return self._ask_for_page(queue, merge, lambda: self._store.merge(queue, merge, ack))

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore; a page that is kept is answered at once."""
        if not self._uses():
            return self._store.scan(queue, window, ack)
        page = self._pages.get(queue.incarnation, window, from_seconds(self._told.latest()))
        if isinstance(page, Slice):
            return succeed(page)
        return self._ask_for_page(queue, window, lambda: self._store.scan(queue, window, ack))

    def _ask_for_page(self, queue: Queue, range: Range, ask: Callable[[], Deferred[SomeSlice]]) -> Deferred[SomeSlice]:
        question = self._pages.begin(queue.incarnation, range)

        def answered(slice: SomeSlice) -> SomeSlice:
            return self._pages.end(question, slice)

        def failed(failure: Failure) -> Failure:
            self._pages.give_up(question)
            return failure

        return ask().addCallbacks(answered, failed)

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._store.lookup(queue, addresses, ack)

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._changing_pages(queue, self._store.replace(queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._changing_pages(queue, self._store.put(queue, address, content, ttl, condition, terms))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._changing_pages(queue, self._store.restore(queue, messages, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._changing_pages(queue, self._store.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._changing_pages(queue, self._store.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._store.count(queue, ack)

    def _changing_pages(self, queue: Queue, answer: Deferred[T]) -> Deferred[T]:
        """Keep no page of a queue until its change is over, which is when the store says so."""
        self._pages.change(queue.incarnation)

        def over(result: T) -> T:
            self._pages.changed(queue.incarnation)
            return result

        return shield(answer.addBoth(over))

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        self._memory.change((application, name))
        return self._changing((application, name), self._store.create(application, name, settings, max_queues))

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        name = (queue.application, queue.name)
        self._memory.change(name)
        return self._changing(name, self._store.update(queue, settings))

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        name = (queue.application, queue.name)
        self._memory.change(name)
        return self._changing(name, self._changing_pages(queue, self._store.forget(queue)))

    def _changing(self, name: Name, answer: Deferred[T]) -> Deferred[T]:
        """Forget a queue again when its change is over, which is when the store says so, not when a caller goes."""

        def over(result: T) -> T:
            self._memory.change(name)
            return result

        return shield(answer.addBoth(over))

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._store.names(application, start, limit, prefix)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore; one name that is remembered is answered at once.

        Pages of many names go to the store: they would push out what is asked for again and again.
        """
        if len(names) == 1 and self._uses():
            queue = self._memory.get((application, names[0]))
            if queue is not None:
                return succeed((queue,))
        return self._ask(application, names)

    def at_hand(self, application: str, name: str) -> Queue | None:
        """See IQueueStore."""
        if self._closed or (self._usable is not None and not self._usable()):
            return None
        return self._memory.get((application, name))

    def _ask(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        asking = self._memory.begin()

        def answered(queues: tuple[Queue | None, ...]) -> tuple[Queue | None, ...]:
            self._memory.end(asking, queues if len(names) == 1 else ())
            return queues

        def failed(failure: Failure) -> Failure:
            self._memory.end(asking, ())
            return failure

        return self._store.describe(application, names).addCallbacks(answered, failed)
