"""Reads and changes stored schedules, each of which is one value under compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IStateStore, Outcome
from queuey.model.pushes.places import PushPlace
from queuey.model.schedules.stored import Schedule, UnreadableSchedule, decode_schedule, encode_schedule, schedule_key

_ATTEMPTS: Final = 10
_TOKEN: Final = 16

Edit = Callable[[Schedule | None], Schedule | None]
"""Makes a schedule of what is stored; ``None`` is no schedule. It may raise an error, and is called again after a lost
race."""


@attrs.frozen
class ScheduleRows:
    """The stored schedules. Every Deferred may fail with ``Unavailable``.

    :ivar new_bytes: returns that number of random bytes.
    """

    states: IStateStore
    new_bytes: Callable[[int], bytes]

    @deferred
    async def read(self, place: PushPlace) -> Schedule | None:
        """Read a schedule."""
        return (await self._read(place))[0]

    @deferred
    async def change(self, place: PushPlace, edit: Edit) -> tuple[Schedule | None, Schedule | None]:
        """Change a schedule.

        :return: fires with what was stored before, and what is stored now.
        """
        key = schedule_key(place.incarnation, place.name)
        unsure = False
        try:
            for _ in range(_ATTEMPTS):
                before, version = await self._read(place)
                after = edit(before)
                if after == before:
                    return before, after
                value, fresh = None if after is None else encode_schedule(after), self.new_bytes(_TOKEN).hex()
                # After an unknown outcome the next attempt finds that the change is stored, and ends.
                outcome = await self.states.replace(key, version, value, fresh)
                if outcome is Outcome.APPLIED:
                    return before, after
                unsure = unsure or outcome is Outcome.UNKNOWN
            raise Unavailable("The schedule is being changed by other requests at the same time.")
        except Unavailable as error:
            raise error.but("unknown") if unsure else error from None

    async def _read(self, place: PushPlace) -> tuple[Schedule | None, str | None]:
        state = await self.states.read(schedule_key(place.incarnation, place.name))
        if state is None:
            return None, None
        try:
            return decode_schedule(state.value), state.version
        except UnreadableSchedule as error:
            raise Unavailable(f"The schedule {error}.") from None
