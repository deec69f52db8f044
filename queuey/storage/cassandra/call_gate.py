"""Lets calls of the store in only while it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.interfaces import IStateStore, Outcome, State

T = TypeVar("T")

_RETRY_AFTER: Final = 5
"""Seconds after which a client may ask again while the store has not opened."""


class CallGate:
    """Makes calls while the store serves, and counts those that have not ended."""

    def __init__(self) -> None:
        self._inside = 0
        self._empty: Deferred[None] | None = None
        self.shut: str | Callable[[], str] | None = "The store has not been opened."

    def enter(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call, or fail with the reason why none is made."""
        if self.shut is not None:
            why = self.shut if isinstance(self.shut, str) else self.shut()
            return fail(Unavailable(why, retry_after=_RETRY_AFTER))
        answer = call()
        self._inside += 1
        return answer.addBoth(self._left)

    def _left(self, result: T) -> T:
        self._inside -= 1
        if not self._inside and self._empty is not None:
            self._empty.callback(None)
        return result

    def emptied(self) -> Deferred[None]:
        """Fires once all calls have ended; called once, after ``shut``."""
        self._empty = Deferred()
        if not self._inside:
            self._empty.callback(None)
        return self._empty


@implementer(IStateStore)
class GuardedStates:
    """The states, while the store serves."""

    def __init__(self, states: IStateStore, gate: CallGate) -> None:
        self._states = states
        self._gate = gate

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._gate.enter(lambda: self._states.read(key))

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        return self._gate.enter(lambda: self._states.replace(key, version, value, fresh))
