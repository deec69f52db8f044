"""Changes of a value that others change too: those of this process are gathered, and what others beat is tried again.

A value under compare-and-set takes one change at a time. If every client tries for itself, most of the tries of a crowd
fail. So one change at the most is under way in this process, it carries all changes that wait, and if another process
was first, it is tried again on what is stored by then, after a pause that is longer each time and never the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.errors import QueueyError

PATIENCE: Final = 5.0
"""Seconds for which a change is tried, if others are first again and again."""

_AT_ONCE: Final = 2
"""Tries that follow each other without a pause."""

_SHORTEST: Final = 0.005
"""Seconds of the first pause at the most; each of the next ones may be twice as long."""

_LONGEST: Final = 0.25
"""Seconds of any pause at the most."""

_RANDOM: Final = 4
"""Random bytes for the length of a pause."""

_GATHERED: Final = 1000
"""Changes that are made as one, at the most."""

K = TypeVar("K", bound=Hashable)
C = TypeVar("C")
R = TypeVar("R")


@attrs.frozen
class Retries:
    """Retries changes that lost a race.

    :ivar clock: measures the time, and the pauses.
    :ivar new_bytes: makes a number of random bytes.
    """

    clock: IReactorTime
    new_bytes: Callable[[int], bytes]

    def begin(self, late: Callable[[], QueueyError]) -> Attempts:
        """Begin with the first attempt of a change.

        :param late: makes the error of a change that was tried for ``PATIENCE``.
        """
        return Attempts(self, late, self.clock.seconds() + PATIENCE)


@attrs.define
class Attempts:
    """The attempts of one change.

    :ivar until: when the last of them may begin.
    """

    retries: Retries
    late: Callable[[], QueueyError]
    until: float
    _count: int = 0

    async def again(self) -> None:
        """Wait until the change is tried again, since another one was first.

        :raise QueueyError: it has been tried for long enough.
        """
        clock = self.retries.clock
        if clock.seconds() >= self.until:
            raise self.late()
        await self.pause()

    async def pause(self) -> None:
        """Wait until the change is tried again, without a limit."""
        self._count += 1
        if self._count < _AT_ONCE:
            return
        longest = min(_LONGEST, _SHORTEST * 2.0 ** min(self._count - _AT_ONCE, 32))
        random = int.from_bytes(self.retries.new_bytes(_RANDOM), "big") / (1 << (8 * _RANDOM))
        await deferLater(self.retries.clock, random * longest)


@attrs.define(eq=False)
class _Waiting(Generic[C, R]):
    """A change that waits.

    :ivar until: when it is given up, if others are first again and again.
    """

    change: C
    until: float
    done: Deferred[R] = attrs.field(factory=Deferred)


class Gathered(Generic[K, C, R]):
    """Changes of values, gathered by their keys: all that wait for one value are made as one compare-and-set."""

    def __init__(
        self,
        retries: Retries,
        attempt: Callable[[K, Sequence[C]], Coroutine[Deferred[Any], Any, Sequence[R | Failure] | None]],
        late: Callable[[], QueueyError],
    ) -> None:
        """:param attempt: reads a value and makes changes, once: the result of each, or a Failure of its own; ``None``:
        another process was first, and nothing was stored. What it raises is the failure of all of them.
        :param late: makes the error of a change that was tried for ``PATIENCE``.
        """
        self._retries = retries
        self._attempt = attempt
        self._late = late
        self._waiting: dict[K, list[_Waiting[C, R]]] = {}

    def make(self, key: K, change: C) -> Deferred[R]:
        """Make a change together with those that wait for the same value; it goes on if its caller is cancelled.

        :return: fires with its result, once it is stored. Fails as the attempt does.
        """
        one: _Waiting[C, R] = _Waiting(change, self._retries.clock.seconds() + PATIENCE)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = waiting = [one]
            Deferred.fromCoroutine(self._run(key, waiting))
        else:
            waiting.append(one)
        return one.done

    async def _run(self, key: K, waiting: list[_Waiting[C, R]]) -> None:
        attempts = self._retries.begin(self._late)
        try:
            while waiting:
                some = waiting[:_GATHERED]
                results = await self._try(key, [one.change for one in some])
                if results is None:
                    self._give_up(waiting)
                    await attempts.pause()
                    continue
                attempts = self._retries.begin(self._late)
                del waiting[: len(some)]
                for one, result in zip(some, results, strict=True):
                    _fire(one, result)
        except Exception:
            failure = Failure()
            for one in waiting:
                _fire(one, failure)
        finally:
            del self._waiting[key]

    async def _try(self, key: K, changes: Sequence[C]) -> Sequence[R | Failure] | None:
        try:
            return await self._attempt(key, changes)
        except Exception:
            return [Failure()] * len(changes)

    def _give_up(self, waiting: list[_Waiting[C, R]]) -> None:
        """Let those fail that have waited for long enough."""
        now = self._retries.clock.seconds()
        late = [one for one in waiting if one.until <= now]
        waiting[:] = [one for one in waiting if one.until > now]
        for one in late:
            _fire(one, Failure(self._late()))


def _fire(one: _Waiting[C, R], result: R | Failure) -> None:
    if not one.done.called:
        one.done.callback(result)
