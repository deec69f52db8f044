"""A store that caches the queues and pages that were read last, in the reactor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from queuey.deferreds import shield
from queuey.interfaces import IStore
from queuey.model.policy import Ack
from queuey.model.queue import Queue
from queuey.model.timeid import from_seconds
from queuey.model.window import Merge, MergeSlice, Slice, Window, WindowSlice
from queuey.storage.layers import FORGET, PURGE, PUT, REMOVE, REPLACE, RESTORE, UPDATE, Operation, StoreLayer
from queuey.storage.pages import Pages, Range, SomeSlice, Told

Name = tuple[str, str]
P = ParamSpec("P")
T = TypeVar("T")

_MESSAGES: Final = frozenset((REPLACE, PUT, RESTORE, REMOVE, PURGE, FORGET))
_SETTINGS: Final = frozenset((UPDATE, FORGET))


@attrs.frozen
class Change:
    """A change of something that may be cached.

    :ivar names: the application and the name of a queue, if its settings change or it is deleted.
    :ivar pages: the incarnation of a queue, if messages that it has change or are deleted.
    """

    names: Name | None = None
    pages: int | None = None


def is_cached(operation: Operation) -> bool:
    """Return whether an operation changes something that may be cached."""
    return operation in _MESSAGES or operation in _SETTINGS


def change_of(operation: Operation, arguments: tuple[Any, ...]) -> Change:
    """Return what a call changes.

    :param arguments: of the call; the first one is the queue.
    """
    queue: Queue = arguments[0]
    return Change(
        (queue.application, queue.name) if operation in _SETTINGS else None,
        queue.incarnation if operation in _MESSAGES else None,
    )


class Memory:
    """A cache of queues by name; the least recently used one makes room for a new one.

    A look-up in the store is between ``begin`` and ``end``: a queue that was changed meanwhile is not cached, because
    the answer may be from before the change. That a queue is absent is not cached.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._queues: dict[Name, Queue] = {}
        self._asking: dict[object, set[Name]] = {}
        self._held: dict[Name, int] = {}

    def get(self, name: Name) -> Queue | None:
        """Return a queue, which is the most recently used one from then on."""
        queue = self._queues.pop(name, None)
        if queue is not None:
            self._queues[name] = queue
        return queue

    def change(self, name: Name) -> None:
        """Invalidate a queue, because its change begins or has ended."""
        self._queues.pop(name, None)
        for changed in self._asking.values():
            changed.add(name)

    def hold(self, name: Name) -> None:
        """Do not cache a queue until ``release`` was called as often."""
        self._held[name] = self._held.get(name, 0) + 1
        self.change(name)

    def release(self, name: Name) -> None:
        """Let a queue be cached again, by look-ups that begin from now on."""
        self.change(name)
        left = self._held.pop(name) - 1
        if left:
            self._held[name] = left

    def begin(self) -> object:
        """Begin a look-up; returns what ``end`` takes."""
        asking = object()
        self._asking[asking] = set()
        return asking

    def end(self, asking: object, queues: Sequence[Queue | None]) -> None:
        """End a look-up, and cache what the store answered."""
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


class CachedStore(StoreLayer):
    """A store that caches queues and pages.

    It must be the only way to the store, or be told of every change that others make: see ``change_elsewhere``.

    :param told: the store's own wall clock.
    :param queues: the number of queues that are cached, at most.
    :param pages: bytes that pages may take; see ``Pages``.
    :param usable: whether the cache may be used now; if not, the store is asked.
    """

    def __init__(
        self, store: IStore, told: Told, queues: int, pages: int, usable: Callable[[], bool] | None = None
    ) -> None:
        self._usable = usable
        self._told = told
        self._memory = Memory(queues)
        self._pages = Pages(pages)
        self._closed = False
        super().__init__(store)
        self.merge = self._merge
        self.scan = self._scan
        self.describe = self._describe
        self.at_hand = self._at_hand

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """See StoreLayer; what an operation changes is invalidated when it begins and when it has ended, even if its
        caller does not wait so long."""

        def changing(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            change = change_of(operation, arguments)
            if change.names is not None:
                self._memory.change(change.names)
            if change.pages is not None:
                self._pages.change(change.pages)

            def over(result: T) -> T:
                if change.names is not None:
                    self._memory.change(change.names)
                if change.pages is not None:
                    self._pages.changed(change.pages)
                return result

            return shield(call(*arguments, **named).addBoth(over))

        return changing if is_cached(operation) else call

    def close(self) -> Deferred[None]:
        """See IStore."""
        self._closed = True
        self._pages.clear()
        return super().close()

    def _uses(self) -> bool:
        """Return whether the cache may be used now."""
        return not self._closed and (self._usable is None or self._usable())

    def change_elsewhere(self, change: Change) -> None:
        """Invalidate what another process is about to change, and cache none of it until ``changed_elsewhere``."""
        if change.names is not None:
            self._memory.hold(change.names)
        if change.pages is not None:
            self._pages.change(change.pages)

    def changed_elsewhere(self, change: Change) -> None:
        """Learn that such a change has ended."""
        if change.names is not None:
            self._memory.release(change.names)
        if change.pages is not None:
            self._pages.changed(change.pages)

    # Messages

    def _merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """Answer a cached page at once, if the reader wants one."""
        if not merge.kept or not self._uses():
            return self._store.merge(queue, merge, ack)
        page = self._pages.get(queue.incarnation, merge, from_seconds(self._told.latest()))
        if isinstance(page, MergeSlice):
            return succeed(page)
        return self._ask_for_page(queue, merge, lambda: self._store.merge(queue, merge, ack))

    def _scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """Answer a cached page at once."""
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

    # Queues

    def _describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """Answer one name that is cached at once.

        Look-ups of many names go to the store: they would push queues out that are in use.
        """
        if len(names) == 1 and self._uses():
            queue = self._memory.get((application, names[0]))
            if queue is not None:
                return succeed((queue,))
        return self._ask(application, names)

    def _at_hand(self, application: str, name: str) -> Queue | None:
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
