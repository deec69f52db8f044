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
"""Seconds after which a change that loses every race is given up, if it was tried ``ENOUGH`` times."""

MAX_PATIENCE: Final = 20.0
"""Seconds after which it is given up however seldom it was tried."""

ENOUGH: Final = 12
"""Attempts that a change gets even if they take longer than ``PATIENCE``. On a busy machine one attempt can take a
second; then a few lost races say little about the load on the value."""

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

        :param late: makes the error of a change that was tried for long enough.
        """
        return Attempts(self, late, self.clock.seconds())


@attrs.define
class Attempts:
    """The attempts of one change.

    :ivar since: the time of the first one, by the clock of ``retries``.
    """

    retries: Retries
    late: Callable[[], QueueyError]
    since: float
    _count: int = 0

    async def again(self) -> None:
        """Wait before the next attempt, because another process was first.

        :raise QueueyError: the change was tried for long enough.
        """
        if _is_enough(self.retries.clock.seconds() - self.since, self._count + 1):
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

    :ivar since: when it began to wait.
    :ivar attempts: number of attempts that lost the race.
    """

    change: C
    since: float
    attempts: int = 0
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
        :param late: makes the error of a change that was tried for long enough.
        """
        self._retries = retries
        self._attempt = attempt
        self._late = late
        self._waiting: dict[K, list[_Waiting[C, R]]] = {}

    def make(self, key: K, change: C) -> Deferred[R]:
        """Make a change together with those that wait for the same value; it goes on if its caller is cancelled.

        :return: fires with its result, once it is stored. Fails as the attempt does.
        """
        one: _Waiting[C, R] = _Waiting(change, self._retries.clock.seconds())
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
                    for one in some:
                        one.attempts += 1
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
        late = [one for one in waiting if _is_enough(now - one.since, one.attempts)]
        waiting[:] = [one for one in waiting if not _is_enough(now - one.since, one.attempts)]
        for one in late:
            _fire(one, Failure(self._late()))


def _is_enough(seconds: float, attempts: int) -> bool:
    """Return whether a change that lost every race for ``seconds`` is given up.

    :param attempts: how often it was tried.
    """
    return seconds >= MAX_PATIENCE or (seconds >= PATIENCE and attempts >= ENOUGH)


def _fire(one: _Waiting[C, R], result: R | Failure) -> None:
    if not one.done.called:
        one.done.callback(result)
