"""Contended compare-and-set: the changes of this process are batched, and a batch that loses a race is retried.

A value under compare-and-set takes one change at a time. If each of many clients changed it alone, most of their
attempts would fail. So each process has at most one attempt at a value under way, which makes all waiting changes. If
another process was first, the batch is made again on the value that is stored then, after a pause with exponential
backoff and jitter.
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
"""Seconds after which a change that loses every race is given up."""

_AT_ONCE: Final = 2
"""Attempts that follow each other without a pause."""

_SHORTEST: Final = 0.005
"""Maximum seconds of the first pause; the maximum doubles with each further pause."""

_LONGEST: Final = 0.25
"""Maximum seconds of any pause."""

_RANDOM: Final = 4
"""Random bytes for the length of a pause."""

_GATHERED: Final = 1000
"""Maximum number of changes in a batch."""

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
        """Wait before the next attempt, because another process was first.

        :raise QueueyError: the change was tried for ``PATIENCE``.
        """
        clock = self.retries.clock
        if clock.seconds() >= self.until:
            raise self.late()
        await self.pause()

    async def pause(self) -> None:
        """Wait before the next attempt, without a limit of attempts."""
        self._count += 1
        if self._count < _AT_ONCE:
            return
        longest = min(_LONGEST, _SHORTEST * 2.0 ** min(self._count - _AT_ONCE, 32))
        random = int.from_bytes(self.retries.new_bytes(_RANDOM), "big") / (1 << (8 * _RANDOM))
        await deferLater(self.retries.clock, random * longest)


@attrs.define(eq=False)
class _Waiting(Generic[C, R]):
    """A change that waits.

    :ivar until: when it is given up if it loses every race.
    """

    change: C
    until: float
    done: Deferred[R] = attrs.field(factory=Deferred)


class Gathered(Generic[K, C, R]):
    """Batches of changes by key: all changes that wait for the same value are made by one compare-and-set."""

    def __init__(
        self,
        retries: Retries,
        attempt: Callable[[K, Sequence[C]], Coroutine[Deferred[Any], Any, Sequence[R | Failure] | None]],
        late: Callable[[], QueueyError],
    ) -> None:
        """:param attempt: reads a value and makes changes, once: the result of each, or a Failure of its own; ``None``:
        another process was first, and the change was not stored. If it raises, all of them fail with that.
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
