"""Changes of the same messages in one process, one after another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred

from queuey.deferreds import deferred, shield

T = TypeVar("T")


class ManyTurns:
    """Locks like :class:`queuey.deferreds.KeyedLock`, for work that needs several keys at once.

    Each piece of work waits for those before it that have a thing in common with it, and for no others; since it waits
    only for what came earlier, no two wait for each other.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, Deferred[None]] = {}

    def take(self, keys: Iterable[Hashable], work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Do some work when it is its turn.

        :return: fires or fails as what ``work`` returns. Cancelling it leaves the work to its end: others wait for it.
        """
        wanted = list(keys)
        before = {id(last): last for key in wanted if (last := self._last.get(key)) is not None}
        mine: Deferred[None] = Deferred()
        for key in wanted:
            self._last[key] = mine
        return shield(self._run(wanted, list(before.values()), mine, work))

    @deferred
    async def _run(
        self, keys: list[Hashable], before: list[Deferred[None]], mine: Deferred[None], work: Callable[[], Deferred[T]]
    ) -> T:
        for last in before:
            await shield(last)
        try:
            return await work()
        finally:
            for key in keys:
                if self._last.get(key) is mine:
                    del self._last[key]
            mine.callback(None)
