"""States that an earlier version of Queuey kept: one value each, in the table ``states``.

A state is converted with its first change:

1. Its value is replaced by one that the earlier version refuses to read (``FENCE`` and the value), so no front end of
   that version changes it any more.
2. The value is written as a snapshot.
3. The first row of events is appended, if there is none yet. From then on the value counts no more.
4. The value becomes ``FENCE`` alone, until the group is deleted: if there was none, a front end of the earlier version
   that still runs would begin the state once more, and give all messages again.

A front end that finds the value while there are no rows goes on from step 1 or 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IStateStore, Outcome
from queuey.model.groups.entries import TOKEN, UnreadableState
from queuey.model.groups.snapshot import GroupState, decode
from queuey.storage.cassandra.groups.tables import contended

FENCE: Final = b"\x7f"
"""Comes before the value of a state that is being converted, and is left of it then. No version has a format of that
number."""

_ATTEMPTS: Final = 20


@attrs.frozen
class OldState:
    """A value as it is stored.

    :ivar fenced: whether the earlier version cannot read it any more.
    """

    state: GroupState
    value: bytes
    version: str
    fenced: bool


class OldStates:
    """The values.

    :param new_bytes: returns that number of random bytes.
    """

    def __init__(self, states: IStateStore, new_bytes: Callable[[int], bytes]) -> None:
        self._states = states
        self._new_bytes = new_bytes

    @deferred
    async def read(self, key: str) -> OldState | None:
        """The value of a state; ``None`` if there is none, or not any more. Fails with ``Unavailable``."""
        found = await self._states.read(key)
        if found is None or found.value == FENCE:
            return None
        fenced = found.value.startswith(FENCE)
        try:
            state = decode(found.value[len(FENCE) :] if fenced else found.value)
        except UnreadableState as problem:
            raise Unavailable(str(problem)) from None
        return OldState(state, found.value, found.version, fenced)

    @deferred
    async def fence(self, key: str, old: OldState) -> bool:
        """Keep the earlier version from changing a value; whether it is still the one that was read."""
        fresh = self._new_bytes(TOKEN).hex()
        try:
            outcome = await self._states.replace(key, old.version, FENCE + old.value, fresh)
        except Unavailable as error:
            error.applied = "no"  # of what the caller wants to do
            raise
        if outcome is Outcome.UNKNOWN:
            raise contended()
        return outcome is Outcome.APPLIED

    def retire(self, key: str) -> Deferred[None]:
        """Replace a value that was converted by the fence; fails with ``Unavailable``."""
        return self._set(key, FENCE)

    def remove(self, key: str) -> Deferred[None]:
        """Remove a value, whatever it is; fails with ``Unavailable``."""
        return self._set(key, None)

    @deferred
    async def _set(self, key: str, value: bytes | None) -> None:
        for _ in range(_ATTEMPTS):
            found = await self._states.read(key)
            if found is None or found.value == value:
                return
            fresh = self._new_bytes(TOKEN).hex()
            if await self._states.replace(key, found.version, value, fresh) is Outcome.APPLIED:
                return
        raise contended()
