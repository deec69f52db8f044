"""Several requests at once, but never more than a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import Unavailable

AT_ONCE: Final = 32
"""Requests of one call that wait for the cluster at the same time."""

T = TypeVar("T")


class _Gathering(Generic[T]):
    """Requests under way and what came of them.

    :param stop: whether a failure ends the rest, as it may for reads; writes are all brought to their end, since only
        then is it known what was changed.
    :param at_once: how many may be under way.
    """

    def __init__(self, makers: Iterable[Callable[[], Deferred[T]]], stop: bool, at_once: int) -> None:
        self._left: Iterator[tuple[int, Callable[[], Deferred[T]]]] = iter(enumerate(makers))
        self._stop = stop
        self._at_once = at_once
        self._running: dict[int, Deferred[Any]] = {}
        self._ended = False
        self._starting = False
        self.results: dict[int, T] = {}
        self.errors: list[BaseException] = []
        self.done: Deferred[None] = Deferred(lambda _: self.cancel())

    def start(self) -> None:
        """Start as many as may run. A loop starts them, and not the callbacks, which would nest in a long list."""
        if self._starting:
            return
        self._starting = True
        while len(self._running) < self._at_once and not self._ended:
            number, maker = next(self._left, (-1, None))
            if maker is None:
                self._ended = True
                break
            answer = maker()
            self._running[number] = answer
            answer.addCallbacks(self._came, self._failed, callbackArgs=(number,), errbackArgs=(number,))
        self._starting = False
        if not self._running and not self.done.called:
            self.done.callback(None)

    def cancel(self) -> None:
        """Begin no more, and cancel what runs."""
        self._ended = True
        for answer in list(self._running.values()):
            answer.cancel()

    def _came(self, result: T, number: int) -> None:
        self.results[number] = result
        del self._running[number]
        self.start()

    def _failed(self, failure: Failure, number: int) -> None:
        self.errors.append(failure.value or Exception(failure))
        del self._running[number]
        if self._stop and not self._ended:
            self.cancel()
        self.start()


async def read_all(makers: Iterable[Callable[[], Deferred[T]]], at_once: int = AT_ONCE) -> list[T]:
    """Read all of these.

    :param at_once: how many may be under way.
    :return: what each came to, in their order. Fails with the first failure, which ends the others; when it is
        cancelled, all are.
    """
    gathering = _Gathering(makers, stop=True, at_once=at_once)
    gathering.start()
    await gathering.done
    if gathering.errors:
        raise gathering.errors[0]
    return [result for _, result in sorted(gathering.results.items())]


async def write_all(makers: Iterable[Callable[[], Deferred[Any]]]) -> None:
    """Write all of these, also if some fail.

    :raise Unavailable: one failed so; ``applied`` is ``"no"`` only if none of them changed anything.
    """
    gathering = _Gathering(makers, stop=False, at_once=AT_ONCE)
    gathering.start()
    await gathering.done
    if not gathering.errors:
        return
    for error in gathering.errors:
        if not isinstance(error, Unavailable):
            raise error
    first = next(error for error in gathering.errors if isinstance(error, Unavailable))
    sure = all(isinstance(error, Unavailable) and error.applied == "no" for error in gathering.errors)
    raise Unavailable(
        first.text, applied="no" if sure and not gathering.results else "unknown", retry_after=first.retry_after
    )
