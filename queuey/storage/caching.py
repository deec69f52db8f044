"""A store that caches the queues that were read last, in the reactor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from queuey.deferreds import shield
from queuey.interfaces import IStore
from queuey.model.queues.queue import Queue
from queuey.storage.layers import CLOSE_QUEUE, FORGET, UPDATE, Operation, StoreLayer

Name = tuple[str, str]
P = ParamSpec("P")
T = TypeVar("T")

INVALIDATES: Final = frozenset((CLOSE_QUEUE, UPDATE, FORGET))
"""The operations that change a queue which may be cached. That a queue is absent is not cached."""


def name_of(arguments: tuple[Any, ...]) -> Name:
    """Return which queue is changed by a call of such an operation: its first argument."""
    queue: Queue = arguments[0]
    return queue.application, queue.name


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
    """A store that caches queues.

    All changes must go through it, or it must hear of each change that others make: see ``change_elsewhere``.

    :param queues: the number of queues that are cached, at most.
    :param usable: whether the cache may be used now; if not, the store is asked.
    """

    def __init__(self, store: IStore, queues: int, usable: Callable[[], bool] | None = None) -> None:
        self._usable = usable
        self._memory = Memory(queues)
        self._closed = False
        super().__init__(store)
        self.describe = self._describe
        self.cached = self._at_hand

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """See StoreLayer; a queue is invalidated when its change begins and when it has ended, even if the caller does
        not wait so long."""

        def changing(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            name = name_of(arguments)
            self._memory.change(name)

            def on_done(result: T) -> T:
                self._memory.change(name)
                return result

            return shield(call(*arguments, **named).addBoth(on_done))

        return changing if operation in INVALIDATES else call

    def close(self) -> Deferred[None]:
        """See IStore."""
        self._closed = True
        return super().close()

    def change_elsewhere(self, name: Name) -> None:
        """Invalidate a queue that another process is about to change, and do not cache it until
        ``changed_elsewhere``."""
        self._memory.hold(name)

    def changed_elsewhere(self, name: Name) -> None:
        """Learn that such a change has ended."""
        self._memory.release(name)

    def _describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """Answer one name that is cached at once.

        Look-ups of many names go to the store: they would push queues out that are in use.
        """
        if len(names) != 1:
            return self._store.describe(application, names)
        queue = self._at_hand(application, names[0])
        return self._ask(application, names) if queue is None else succeed((queue,))

    def _at_hand(self, application: str, name: str) -> Queue | None:
        if self._closed or (self._usable is not None and not self._usable()):
            return None
        return self._memory.get((application, name))

    def _ask(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        asking = self._memory.begin()

        def answered(queues: tuple[Queue | None, ...]) -> tuple[Queue | None, ...]:
            self._memory.end(asking, queues)
            return queues

        def on_error(failure: Failure) -> Failure:
            self._memory.end(asking, ())
            return failure

        return self._store.describe(application, names).addCallbacks(answered, on_error)
