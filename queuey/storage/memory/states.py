"""States of the memory store: values under compare-and-set."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.interfaces import MAX_STATE, IStateStore, Outcome, State
from queuey.model.queues.queue import states_prefix
from queuey.storage.memory.data import OVERHEAD, StoreData


@implementer(IStateStore)
class MemoryStates:
    """Values under compare-and-set in dicts, by the first part of their keys and by the whole key."""

    def __init__(self, data: StoreData) -> None:
        self._data = data
        self._states: dict[str, dict[str, State]] = {}

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._data.when_open(lambda: self.find(key))

    def find(self, key: str) -> State | None:
        """Return the value of a key, if there is one."""
        return self._states.get(_first_part(key), {}).get(key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        if value is not None and len(value) > MAX_STATE:
            raise ValueError(f"a state has at most {MAX_STATE} bytes")
        return self._data.when_open(lambda: self._replace(key, version, value, fresh))

    def _replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        old, space = self.find(key), self._data.space
        if (old.version if old else None) != version:
            return Outcome.REFUSED
        more = _cost(key, value) - _cost(key, old.value if old else None)
        if space.short(more):
            raise space.error()
        space.used += more
        first = _first_part(key)
        if value is not None:
            self._states.setdefault(first, {})[key] = State(value, fresh)
        elif old is not None:
            del self._states[first][key]
            if not self._states[first]:
                del self._states[first]
        return Outcome.APPLIED

    def forget(self, incarnation: int) -> None:
        """Remove the states that belong to an incarnation of a queue."""
        for key, state in self._states.pop(_first_part(states_prefix(incarnation)), {}).items():
            self._data.space.used -= _cost(key, state.value)


def _cost(key: str, value: bytes | None) -> int:
    return 0 if value is None else OVERHEAD + len(key) + len(value)


def _first_part(key: str) -> str:
    """Return the part of a key before the first slash; all keys of an incarnation of a queue have the same one."""
    return key.partition("/")[0]
