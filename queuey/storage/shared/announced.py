"""A store whose changes are announced to every process that caches something of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

from queuey.deferreds import deferred, shield
from queuey.interfaces import IStore
from queuey.storage.caching import INVALIDATES, Name, name_of
from queuey.storage.layers import Operation, StoreLayer

P = ParamSpec("P")
T = TypeVar("T")


class Audience(Protocol):
    """The processes that cache something."""

    def begin(self, name: Name) -> Deferred[None]:
        """Begin to change a queue. Fires, and never fails, once no process can serve it from a cache."""

    def end(self, name: Name) -> None:
        """End the change: processes may cache the queue again."""

    def arrived(self, incarnation: int) -> None:
        """Learn that there may be more messages in a queue."""


class AnnouncedStore(StoreLayer):
    """A store whose changes begin once no process can serve from a cache what they change.

    Creations are not announced, since no process caches that a queue is absent.
    """

    def __init__(self, store: IStore, audience: Audience) -> None:
        self._audience = audience
        super().__init__(store)

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """See StoreLayer."""
        if operation not in INVALIDATES:
            return call

        @deferred
        async def change(name: Name, *arguments: P.args, **named: P.kwargs) -> T:
            await self._audience.begin(name)
            try:
                return await call(*arguments, **named)
            finally:
                self._audience.end(name)

        def announced(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            return shield(change(name_of(arguments), *arguments, **named))

        return announced

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore; the audience is notified as well."""

        def both(incarnation: int) -> None:
            self._audience.arrived(incarnation)
            arrived(incarnation)

        return super().subscribe(both)
