"""What a contract suite needs of the store under test, and how a suite runs with and without a reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.interfaces import IStore

START = 1_700_000_000.0
"""Where the clocks of all suites begin: seconds since 1970."""


class Wall:
    """A wall clock that a test sets; threads may read it."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds


class Subject(Protocol):
    """A store under test, with its clocks.

    :ivar keeps: whether data outlives ``reopen``.
    :ivar wall: the wall clock, which may be set forwards and back; setting it makes no timer run.
    """

    @property
    def store(self) -> IStore:
        """The store as it is now; another one after ``reopen``."""

    @property
    def keeps(self) -> bool: ...

    @property
    def wall(self) -> Wall: ...

    def advance(self, seconds: float) -> Deferred[None]:
        """Let time pass on all clocks; fires once everything has run that it made due."""

    def reopen(self) -> Deferred[None]:
        """Close the store, and open another one on the same data."""

    def close(self) -> Deferred[None]:
        """Close whatever is open."""


class WatchedSubject(Subject, Protocol):
    """A subject whose store was asked, before it was opened, to tell what falls due.

    :ivar arrived: the queues that the store reported as having new messages.
    :ivar pause: what it said to being asked.
    """

    arrived: list[int]

    @property
    def pause(self) -> float | None: ...


class Contract(SynchronousTestCase):
    """The base of all contract suites: each test is a coroutine over one open store."""

    subject: Subject

    def make_subject(self) -> Subject:
        """A store that is open and empty."""
        raise NotImplementedError

    def drive(self, steps: Coroutine[Deferred[Any], Any, None]) -> object:
        """Run a test: here everything fires at once; suites with a reactor return the Deferred."""
        return self.successResultOf(Deferred.fromCoroutine(steps))

    def setUp(self) -> None:
        self.subject = self.make_subject()
        self.addCleanup(self.tear_down)

    def tear_down(self) -> object:
        async def close() -> None:
            await self.subject.close()

        return self.drive(close())

    @property
    def store(self) -> IStore:
        return self.subject.store

    async def fails(self, error: type[Exception], answer: Deferred[Any]) -> Exception:
        """Wait for a failure of exactly this kind, and return it."""
        try:
            result = await answer
        except error as failure:
            self.assertIs(type(failure), error)
            return failure
        raise self.failureException(f"no {error.__name__}: {result!r}")


Case = TypeVar("Case", bound=Contract)


def contract(steps: Callable[[Case], Coroutine[Deferred[Any], Any, None]]) -> Callable[[Case], object]:
    """Make a coroutine function a test method."""

    @wraps(steps)
    def test(self: Case) -> object:
        return self.drive(steps(self))

    return test


def after_restart(steps: Callable[[Case], Coroutine[Deferred[Any], Any, None]]) -> Callable[[Case], object]:
    """As ``contract``, for stores that keep their data over a restart; others have nothing to prove here."""

    @wraps(steps)
    def test(self: Case) -> object:
        return self.drive(steps(self)) if self.subject.keeps else None

    return test
